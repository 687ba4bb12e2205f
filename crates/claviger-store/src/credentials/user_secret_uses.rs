//! When a user's token was last used, and from where: kept apart from what decisions read, and written a second late.

use std::net::IpAddr;

use claviger::clock::UnixMillis;
use claviger::id::TenantId;

use crate::backend::Tx;
use crate::error::StoreError;
use crate::noun::{Feed, Noun, Rights, int, text, uuid};
use crate::parts::system_store::SystemStore;
use crate::parts::tenant_store::TenantStore;
use crate::statement::statements;
use crate::value::values;

/// The rows of uses.
pub(crate) static USER_SECRET_USE_ROWS: Noun = Noun {
    table: "user_secret_use",
    about: "When a user's token was last used, and from where.",
    columns: &[uuid("tenant_id"), text("kid"), int("used_at"), text("address").optional()],
    key: &["tenant_id", "kid"],
    references: &[(&["tenant_id", "kid"], "user_secret (tenant_id, kid)")],
    indices: &[],
    tenant: Rights::SEE,
    jobs: Rights::CHANGE,
    feed: Feed::Silent,
    fixed_but: None,
    grows_by: None,
};

statements! { "user token's use";
    /// Of two servers that tell of one token, the later use stays.
    USER_SECRET_USED: System [Uuid, Text, Int, Text]
        "INSERT INTO user_secret_use (tenant_id, kid, used_at, address)
         SELECT u.tenant_id, u.kid, CAST($3 AS bigint), $4 FROM user_secret AS u WHERE u.tenant_id = $1 AND u.kid = $2
         ON CONFLICT (tenant_id, kid) DO UPDATE SET used_at = excluded.used_at, address = excluded.address
             WHERE user_secret_use.used_at < excluded.used_at";
    USER_SECRET_USE: Tenant [Uuid, Text] "SELECT used_at FROM user_secret_use WHERE tenant_id = $1 AND kid = $2";
}

/// A use of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSecretUse {
    /// Whose tenant's.
    pub tenant: TenantId,
    /// The name of the secret.
    pub kid: Box<str>,
    /// When.
    pub at: UnixMillis,
    /// From where, if that is known.
    pub address: Option<IpAddr>,
}

impl SystemStore {
    /// Notes when tokens were last used. One whose secret is not there is passed over.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn user_secrets_used(&self, uses: Vec<UserSecretUse>) -> Result<(), StoreError> {
        self.write_in_growth(async move |tx: &mut Tx<'_>| {
            for used in &uses {
                let address = used.address.map(|address| address.to_string());
                let row = values![used.tenant, &*used.kid, used.at, address];
                tx.run(&USER_SECRET_USED, row).await?;
            }
            Ok(())
        })
        .await
    }
}

impl TenantStore {
    /// When the token of that secret was last used, if it was.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn user_secret_last_used(&self, kid: &str) -> Result<Option<UnixMillis>, StoreError> {
        let (tenant, kid) = (self.tenant, kid.to_owned());
        self.read_in_growth(async move |tx: &mut Tx<'_>| {
            let row = tx.run_one(&USER_SECRET_USE, values![tenant, &kid]).await?;
            row.map(|row| row.read().time()).transpose()
        })
        .await
    }
}
