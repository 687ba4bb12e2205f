//! All nouns there are, in the order in which their tables refer to each other.

use crate::annotations;
use crate::audit::entry;
use crate::credentials::{
    api_keys, key_secret_uses, key_secrets, revoked_tokens, signing_keys, user_secret_uses, user_secrets,
};
use crate::feed::leases;
use crate::idempotency;
use crate::noun::Nouns;
use crate::people::{
    accounts, foreign_identities, invitations, members, operators, outbox, proofs, refresh_tokens, sessions,
    sign_in_failures,
};
use crate::statement::Statement;
use crate::tenancy::{orgs, realms, tenants};

macro_rules! nouns {
    ($($file:ident: $($rows:ident),+;)*) => {
        /// Every noun, once. Tables that are no noun's, such as the feed itself, stand in the migrations alone.
        pub(crate) static NOUNS: Nouns = &[$($(&$file::$rows),+),*];

        /// The statements of each noun's file.
        pub(crate) static STATEMENTS: &[&[&Statement]] = &[$($file::STATEMENTS),*];
    };
}

nouns! {
    realms: REALM_ROWS, PLAN_ROWS;
    accounts: ACCOUNT_ROWS;
    tenants: TENANT_ROWS;
    orgs: ORG_ROWS;
    members: MEMBER_ROWS;
    sessions: SESSION_ROWS;
    refresh_tokens: REFRESH_TOKEN_ROWS;
    sign_in_failures: SIGN_IN_FAILURE_ROWS;
    outbox: MAIL_ROWS;
    proofs: PROOF_ROWS;
    invitations: INVITATION_ROWS;
    api_keys: KEY_ROWS;
    key_secrets: KEY_SECRET_ROWS;
    key_secret_uses: KEY_SECRET_USE_ROWS;
    user_secrets: USER_SECRET_ROWS;
    user_secret_uses: USER_SECRET_USE_ROWS;
    foreign_identities: FOREIGN_IDENTITY_ROWS;
    annotations: ANNOTATION_ROWS, TENANT_EXTERNAL_ID_ROWS;
    signing_keys: SIGNING_KEY_ROWS;
    operators: OPERATOR_ROWS;
    revoked_tokens: REVOKED_TOKEN_ROWS;
    entry: AUDIT_ROWS, OPERATOR_AUDIT_ROWS;
    leases: LEASE_ROWS;
    idempotency: IDEMPOTENCY_ROWS;
}
