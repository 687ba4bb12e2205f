//! All nouns there are, in the order in which their tables refer to each other.

use crate::annotations;
use crate::audit::entry;
use crate::credentials::api_keys;
use crate::credentials::revoked_tokens;
use crate::credentials::signing_keys;
use crate::credentials::user_secrets;
use crate::noun::Nouns;
use crate::people::accounts;
use crate::people::foreign_identities;
use crate::people::members;
use crate::people::sessions;
use crate::tenancy::orgs;
use crate::tenancy::realms;
use crate::tenancy::tenants;

/// Every noun, once. Tables that are no noun's, such as the feed itself, stand in the migrations alone.
pub(crate) static NOUNS: Nouns = &[
    &realms::REALM_ROWS,
    &realms::PLAN_ROWS,
    &accounts::ACCOUNT_ROWS,
    &tenants::TENANT_ROWS,
    &orgs::ORG_ROWS,
    &members::MEMBER_ROWS,
    &sessions::SESSION_ROWS,
    &api_keys::KEY_ROWS,
    &api_keys::KEY_SECRET_ROWS,
    &user_secrets::USER_SECRET_ROWS,
    &foreign_identities::FOREIGN_IDENTITY_ROWS,
    &annotations::ANNOTATION_ROWS,
    &annotations::TENANT_EXTERNAL_ID_ROWS,
    &signing_keys::SIGNING_KEY_ROWS,
    &revoked_tokens::REVOKED_TOKEN_ROWS,
    &entry::AUDIT_ROWS,
    &entry::OPERATOR_AUDIT_ROWS,
];
