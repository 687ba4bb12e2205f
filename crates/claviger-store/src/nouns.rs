//! All nouns there are, in the order in which their tables refer to each other.

use crate::noun::Nouns;
use crate::{
    accounts, api_keys, audit, foreign_identities, members, operator, orgs, revoked_tokens, sessions,
    signing_keys, tenants, user_secrets,
};

/// Every noun, once. Tables that are no noun's, such as the feed itself, stand in the migrations alone.
pub(crate) static NOUNS: Nouns = &[
    &operator::REALM_ROWS,
    &operator::PLAN_ROWS,
    &accounts::ACCOUNT_ROWS,
    &tenants::TENANT_ROWS,
    &orgs::ORG_ROWS,
    &members::MEMBER_ROWS,
    &sessions::SESSION_ROWS,
    &api_keys::KEY_ROWS,
    &api_keys::KEY_SECRET_ROWS,
    &user_secrets::USER_SECRET_ROWS,
    &foreign_identities::FOREIGN_IDENTITY_ROWS,
    &signing_keys::SIGNING_KEY_ROWS,
    &revoked_tokens::REVOKED_TOKEN_ROWS,
    &audit::AUDIT_ROWS,
    &audit::OPERATOR_AUDIT_ROWS,
];
