//! Single identity tokens that were taken back before their end.

use claviger::clock::UnixMillis;
use claviger::id::TokenId;
use serde_json::json;

use crate::backend::Tx;
use crate::error::StoreError;
use crate::statement::statements;
use crate::tenant_store::TenantStore;
use crate::value::values;

statements! { "revoked token";
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
