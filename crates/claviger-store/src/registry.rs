//! All statements there are.

use crate::statement::Statement;
use crate::{
    accounts, api_keys, audit, feed, foreign_identities, loads, members, operator, orgs, revoked_tokens,
    sessions, signing_keys, store, sweep, tenants, user_secrets,
};

/// Every statement, once.
#[cfg_attr(not(test), expect(dead_code, reason = "the list is for the tests that go over every statement"))]
pub(crate) fn statements() -> impl Iterator<Item = &'static Statement> {
    [
        accounts::STATEMENTS,
        api_keys::STATEMENTS,
        audit::STATEMENTS,
        feed::STATEMENTS,
        foreign_identities::STATEMENTS,
        loads::STATEMENTS,
        members::STATEMENTS,
        operator::STATEMENTS,
        orgs::STATEMENTS,
        revoked_tokens::STATEMENTS,
        sessions::STATEMENTS,
        signing_keys::STATEMENTS,
        store::STATEMENTS,
        sweep::STATEMENTS,
        tenants::STATEMENTS,
        user_secrets::STATEMENTS,
    ]
    .into_iter()
    .flatten()
    .copied()
}
