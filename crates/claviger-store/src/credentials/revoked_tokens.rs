//! Single identity tokens that were taken back before their end.

use claviger::clock::UnixMillis;
use claviger::directory::Record;
use claviger::id::TokenId;
use serde_json::json;

use crate::backend::Tx;
use crate::error::StoreError;
use crate::noun::{Feed, Index, Noun, Rights, Rows, int, uuid};
use crate::parts::tenant_store::TenantStore;
use crate::statement::statements;
use crate::subject::{Loaded, Subject};
use crate::value::{Columns, values};

/// The rows of revoked tokens.
pub(crate) static REVOKED_TOKEN_ROWS: Noun = Noun {
    table: "revoked_token",
    about: "A token that was taken back before its end.",
    columns: &[uuid("tenant_id"), uuid("token_id"), int("expires_at")],
    key: &["tenant_id", "token_id"],
    references: &[(&["tenant_id"], "tenant (tenant_id)")],
    indices: &[Index::Plain("revoked_token_by_expiry", "expires_at")],
    tenant: Rights::ADD,
    // What has ended by itself is cleared away.
    jobs: Rights { delete: true, ..Rights::SEE },
    feed: Feed::Tells { kind: "revoked_token", id: &["tenant_id", "token_id"], only: None, since: 1 },
    fixed_but: None,
    grows_by: None,
};

/// What is read of one, where it is not read with all others.
pub(crate) const ROWS: Rows = Rows { noun: &REVOKED_TOKEN_ROWS, columns: "r.expires_at", with: "", only: "" };

/// Reads the columns of [`ROWS`].
///
/// # Errors
/// If something else is in them.
pub(crate) fn read(columns: &mut Columns) -> Result<Record, StoreError> {
    Ok(Record::RevokedToken { expires_at: columns.time()? })
}

/// Reads the columns of [`REVOKED_TOKENS`].
///
/// # Errors
/// If something else is in them.
pub(crate) fn read_all(columns: &mut Columns) -> Result<Loaded, StoreError> {
    let subject = Subject::RevokedToken(columns.parse()?, columns.parse()?);
    Ok(Loaded { subject, found: Some((columns.int()?, read(columns)?)) })
}

statements! { "revoked token";
    /// All that are there, expired or not: which still counts is not for this moment's clock to say.
    REVOKED_TOKENS: System [] "SELECT tenant_id, token_id, row_version, expires_at FROM revoked_token";
    REVOKED_ADD: Tenant [Uuid, Uuid, Int] withdraws
        "INSERT INTO revoked_token (tenant_id, token_id, expires_at) VALUES ($1, $2, $3)
         ON CONFLICT (tenant_id, token_id) DO NOTHING RETURNING token_id";
}

impl TenantStore {
    /// Takes back the token with that `jti`, which ends by itself at `expires_at`. Twice is as good as once.
    ///
    /// # Errors
    /// If there is no such tenant.
    pub async fn token_revoke(&self, token: TokenId, expires_at: UnixMillis) -> Result<(), StoreError> {
        let tenant = self.tenant;
        let entry = self.entry("TOKEN_REVOKED", ("token", token.to_string()), json!({}));
        self.write(async move |tx: &mut Tx<'_>| {
            if tx.run_one(&REVOKED_ADD, values![tenant, token, expires_at]).await?.is_some() {
                entry.write(tx).await?;
            }
            Ok(())
        })
        .await
    }
}
