//! User secrets: what signs one user's tokens for one API. They do not expire; a new one ends the one before.

use std::sync::Arc;

use claviger::clock::UnixMillis;
use claviger::directory::{Generations, UserSecretRecord};
use claviger::id::{AccountId, ApiName, OrgId, TenantId};
use claviger::secret::Secret;
use serde_json::json;

use crate::backend::Tx;
use crate::credentials::kid::base62;
use crate::data_key::DataKey;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::noun::{Feed, Index, Noun, Recorded, Rights, Rows, blob, int, text, truth, uuid};
use crate::parts::tenant_store::TenantStore;
use crate::people::members::{self, MEMBER_HOLD};
use crate::seal::Place;
use crate::statement::statements;
use crate::tenancy::orgs;
use crate::tenancy::tenants;
use crate::value::{Columns, Row, values};

/// The rows of user secrets.
pub(crate) static USER_SECRET_ROWS: Noun = Noun {
    table: "user_secret",
    about: "What signs one user's tokens for one API, sealed.",
    columns: &[
        uuid("tenant_id"),
        text("kid"),
        text("api"),
        uuid("org_id"),
        uuid("account_id"),
        blob("sealed_secret"),
        int("version"),
        truth("revoked"),
        int("created_at"),
        int("tenant_credentials").or("1"),
        int("org_credentials").or("1"),
        int("account_credentials").or("1"),
        int("member_credentials").or("1"),
    ],
    key: &["tenant_id", "kid"],
    references: &[(&["tenant_id", "org_id", "account_id"], "member (tenant_id, org_id, account_id)")],
    indices: &[
        Index::Plain("user_secret_by_kid", "kid"),
        Index::Plain("user_secret_by_account", "tenant_id, account_id, api"),
        Index::UniqueNamed("user_secret_live", "tenant_id, api, account_id", Some("revoked = 0")),
    ],
    tenant: Rights::CHANGE,
    jobs: Rights::SEE,
    feed: Feed::Tells { kind: "user_secret", id: &["kid"], only: None, since: 1 },
    fixed_but: None,
    grows_by: None,
};

impl Recorded for UserSecretRecord {
    type Name = (Arc<str>,);

    const ROWS: Rows = Rows {
        noun: &USER_SECRET_ROWS,
        columns: "r.api, r.tenant_id, r.org_id, r.account_id, r.revoked, r.sealed_secret, t.data_key, r.tenant_credentials,
             r.org_credentials, r.account_credentials, r.member_credentials",
        with: "JOIN tenant AS t ON t.tenant_id = r.tenant_id",
        only: "",
    };

    fn read((kid,): &Self::Name, columns: &mut Columns, keyring: &Keyring) -> Result<Self, StoreError> {
        let api = columns.parse()?;
        let (tenant, org, account): (TenantId, _, _) = (columns.parse()?, columns.parse()?, columns.parse()?);
        let revoked = columns.truth()?;
        let (sealed, data_key) = (columns.blob()?, columns.blob()?);
        let secret = unseal(keyring, tenant, &data_key, kid, &sealed)?;
        let made_under = Generations {
            tenant: columns.int()?,
            org: columns.int()?,
            account: columns.int()?,
            member: columns.int()?,
        };
        Ok(Self { kid: kid.to_string(), api, tenant, org, account, secret, revoked, made_under })
    }

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn is_of(&self, (kid,): &Self::Name) -> bool {
        *self.kid == **kid
    }

    fn agrees_with(&self, other: &Self) -> bool {
        self == other
    }
}

statements! { "user secret";
    USER_SECRET_ADD: Tenant [Uuid, Text, Text, Uuid, Uuid, Blob, Int, Int] grants
        "INSERT INTO user_secret (tenant_id, kid, api, org_id, account_id, sealed_secret, version, created_at,
             tenant_credentials, org_credentials, account_credentials, member_credentials)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, t.credentials, o.credentials, a.credentials, m.credentials
         FROM member AS m
         JOIN tenant AS t ON t.tenant_id = m.tenant_id
         JOIN organization AS o ON o.tenant_id = m.tenant_id AND o.org_id = m.org_id
         JOIN account AS a ON a.account_id = m.account_id
         WHERE m.tenant_id = $1 AND m.org_id = $4 AND m.account_id = $5
         ON CONFLICT (tenant_id, api, account_id) WHERE revoked = 0 DO NOTHING RETURNING kid";
    /// One that was ended with all others of its tenant, organization, account or member is not live.
    USER_SECRET_LIVE: Tenant [Uuid, Text, Uuid]
        "SELECT u.kid, u.api, u.org_id, u.account_id, u.version, u.created_at, u.sealed_secret
         FROM user_secret AS u
         JOIN tenant AS t ON t.tenant_id = u.tenant_id AND t.credentials = u.tenant_credentials
         JOIN organization AS o ON o.tenant_id = u.tenant_id AND o.org_id = u.org_id AND o.credentials = u.org_credentials
         JOIN account AS a ON a.account_id = u.account_id AND a.credentials = u.account_credentials
         JOIN member AS m ON m.tenant_id = u.tenant_id AND m.org_id = u.org_id AND m.account_id = u.account_id
             AND m.credentials = u.member_credentials
         WHERE u.tenant_id = $1 AND u.api = $2 AND u.account_id = $3 AND u.revoked = 0";
    /// As [`USER_SECRET_LIVE`], for every API.
    USER_SECRETS_LIVE: Tenant [Uuid, Uuid]
        "SELECT u.kid, u.api, u.org_id, u.version, u.created_at, s.used_at
         FROM user_secret AS u
         LEFT JOIN user_secret_use AS s ON s.tenant_id = u.tenant_id AND s.kid = u.kid
         JOIN tenant AS t ON t.tenant_id = u.tenant_id AND t.credentials = u.tenant_credentials
         JOIN organization AS o ON o.tenant_id = u.tenant_id AND o.org_id = u.org_id AND o.credentials = u.org_credentials
         JOIN account AS a ON a.account_id = u.account_id AND a.credentials = u.account_credentials
         JOIN member AS m ON m.tenant_id = u.tenant_id AND m.org_id = u.org_id AND m.account_id = u.account_id
             AND m.credentials = u.member_credentials
         WHERE u.tenant_id = $1 AND u.account_id = $2 AND u.revoked = 0 ORDER BY u.api";
    /// Makes room for a new one where the last was ended with all others.
    USER_SECRET_RETIRE: Tenant [Uuid, Text, Uuid] withdraws
        "UPDATE user_secret SET revoked = 1
         WHERE tenant_id = $1 AND api = $2 AND account_id = $3 AND revoked = 0 AND NOT EXISTS (
             SELECT 1 FROM member AS m
             JOIN tenant AS t ON t.tenant_id = m.tenant_id
             JOIN organization AS o ON o.tenant_id = m.tenant_id AND o.org_id = m.org_id
             JOIN account AS a ON a.account_id = m.account_id
             WHERE m.tenant_id = user_secret.tenant_id AND m.org_id = user_secret.org_id
                 AND m.account_id = user_secret.account_id AND m.credentials = user_secret.member_credentials
                 AND t.credentials = user_secret.tenant_credentials AND o.credentials = user_secret.org_credentials
                 AND a.credentials = user_secret.account_credentials)";
    USER_SECRET_VERSION: Tenant [Uuid, Text, Uuid]
        "SELECT CAST(coalesce(max(version), 0) AS bigint) FROM user_secret
         WHERE tenant_id = $1 AND api = $2 AND account_id = $3";
    USER_SECRET_REPLACE: Tenant [Uuid, Text, Uuid, Uuid] withdraws
        "UPDATE user_secret SET revoked = 1
         WHERE tenant_id = $1 AND api = $2 AND org_id = $3 AND account_id = $4 AND revoked = 0";
    USER_SECRET_REVOKE: Tenant [Uuid, Text, Uuid] withdraws
        "UPDATE user_secret SET revoked = 1 WHERE tenant_id = $1 AND api = $2 AND account_id = $3 AND revoked = 0
         RETURNING org_id";
}

const BYTES: usize = 32;
const KID_CHARACTERS: usize = 22;

/// A live user secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSecret {
    /// Its public name, a token's `kid`.
    pub kid: String,
    /// The API whose tokens it signs.
    pub api: ApiName,
    /// The organization of the membership it hangs on.
    pub org: OrgId,
    /// Whose it is.
    pub account: AccountId,
    /// How many there were of the user for the API, with this one.
    pub version: i64,
    /// Since when it is there.
    pub created_at: UnixMillis,
    /// What signs: 32 bytes.
    pub secret: Secret,
}

/// A live user secret, without the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSecretView {
    /// Its public name, a token's `kid`.
    pub kid: String,
    /// The API whose tokens it signs.
    pub api: ApiName,
    /// The organization of the membership it hangs on.
    pub org: OrgId,
    /// How many there were of the user for the API, with this one.
    pub version: i64,
    /// Since when it is there.
    pub created_at: UnixMillis,
    /// When its token was last used, if it was; a second late.
    pub last_used_at: Option<UnixMillis>,
}

fn place(tenant: TenantId, kid: &str) -> Place<'_> {
    Place { tenant: Some(tenant), table: "user_secret", column: "sealed_secret", id: kid }
}

/// Opens a stored secret with the tenant's data key.
fn unseal(
    keyring: &Keyring,
    tenant: TenantId,
    data_key: &[u8],
    kid: &str,
    sealed: &[u8],
) -> Result<Secret, StoreError> {
    let key = DataKey::open(tenant, keyring, data_key)?;
    key.unseal(&place(tenant, kid), sealed).ok_or(StoreError::Corrupt { what: "user secret" })
}

async fn read(tx: &mut Tx<'_>, keyring: &Keyring, owner: &Owner, row: Row) -> Result<UserSecret, StoreError> {
    let tenant = owner.tenant;
    let mut columns = row.read();
    let kid = columns.text()?;
    let (api, org, account) = (columns.parse()?, columns.parse()?, columns.parse()?);
    // A user has one secret per API and tenant, and it hangs on one membership: another one's is not for here.
    if org != owner.org {
        return Err(StoreError::Refused {
            why: "the user has a secret for this api in another organization of the tenant; revoke that one first",
        });
    }
    let (version, created_at) = (columns.int()?, columns.time()?);
    let data_key = tenants::data_key(tx, tenant).await?;
    let secret = unseal(keyring, tenant, &data_key, &kid, &columns.blob()?)?;
    Ok(UserSecret { kid, api, org, account, version, created_at, secret })
}

/// Whose secret, for which API.
#[derive(Clone)]
struct Owner {
    tenant: TenantId,
    api: ApiName,
    org: OrgId,
    account: AccountId,
}

impl Owner {
    /// The membership has to be active, and what it hangs on too.
    async fn may_have_one(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let member = members::view(tx, self.tenant, self.org, self.account).await?;
        let org = orgs::view(tx, self.tenant, self.org).await?.state;
        let tenant = tenants::view(tx, self.tenant).await?.state;
        if members::may_act(&member, org, tenant) {
            return Ok(());
        }
        Err(StoreError::Refused { why: "a user secret needs an active membership" })
    }
}

impl TenantStore {
    /// The account's live secrets in the tenant, one for each API at most.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn user_secret_list(&self, account: AccountId) -> Result<Vec<UserSecretView>, StoreError> {
        let tenant = self.tenant;
        self.read(async move |tx: &mut Tx<'_>| {
            let read = |row: Row| {
                let mut columns = row.read();
                Ok(UserSecretView {
                    kid: columns.text()?,
                    api: columns.parse()?,
                    org: columns.parse()?,
                    version: columns.int()?,
                    created_at: columns.time()?,
                    last_used_at: columns.maybe_time()?,
                })
            };
            tx.run(&USER_SECRETS_LIVE, values![tenant, account]).await?.into_iter().map(read).collect()
        })
        .await
    }

    /// The account's secret for the API, made if there is none.
    ///
    /// # Errors
    /// If the account has no active membership in the organization, or has its secret for the API in another
    /// organization of the tenant.
    pub async fn user_secret_issue(
        &self,
        api: &ApiName,
        org: OrgId,
        account: AccountId,
    ) -> Result<UserSecret, StoreError> {
        let owner = Owner { tenant: self.tenant, api: api.clone(), org, account };
        let inner = Arc::clone(&self.inner);
        let wanted = owner.clone();
        let found = self
            .read(async move |tx: &mut Tx<'_>| {
                wanted.may_have_one(tx).await?;
                let params = values![wanted.tenant, wanted.api.as_str(), wanted.account];
                match tx.run_one(&USER_SECRET_LIVE, params).await? {
                    Some(row) => read(tx, &inner.keyring, &wanted, row).await.map(Some),
                    None => Ok(None),
                }
            })
            .await?;
        match found {
            Some(found) => Ok(found),
            None => self.user_secret_make(owner, "USER_TOKEN_ISSUED").await,
        }
    }

    /// Replaces the account's secret for the API: every token under the one before is refused from now on.
    ///
    /// # Errors
    /// If the account has no active membership in the organization, or has its secret for the API in another
    /// organization of the tenant.
    pub async fn user_secret_regenerate(
        &self,
        api: &ApiName,
        org: OrgId,
        account: AccountId,
    ) -> Result<UserSecret, StoreError> {
        let owner = Owner { tenant: self.tenant, api: api.clone(), org, account };
        self.user_secret_make(owner, "USER_TOKEN_REGENERATED").await
    }

    async fn user_secret_make(&self, owner: Owner, action: &'static str) -> Result<UserSecret, StoreError> {
        let inner = Arc::clone(&self.inner);
        let details = json!({ "api": owner.api, "organization": owner.org.to_string() });
        let entry = self.entry(action, ("member", owner.account.to_string()), details);
        let replaces = action == "USER_TOKEN_REGENERATED";
        self.write(async move |tx: &mut Tx<'_>| {
            let Owner { tenant, api, org, account } = &owner;
            let (tenant, org, account) = (*tenant, *org, *account);
            // A removal at the same moment is either seen here or sees the secret made here.
            tx.run(&MEMBER_HOLD, values![tenant, org, account]).await?;
            owner.may_have_one(tx).await?;
            tx.run(&USER_SECRET_RETIRE, values![tenant, api.as_str(), account]).await?;
            if replaces {
                tx.run(&USER_SECRET_REPLACE, values![tenant, api.as_str(), org, account]).await?;
            }
            let now = tx.now().await?;
            let row = tx.run_one(&USER_SECRET_VERSION, values![tenant, api.as_str(), account]).await?;
            let version = row.ok_or(StoreError::Corrupt { what: "user secret" })?.read().int()? + 1;
            let random = inner.random.as_ref();
            let kid = format!("us_{}", base62(random, KID_CHARACTERS));
            let mut bytes = vec![0; BYTES];
            random.fill(&mut bytes);
            let data_key = DataKey::open(tenant, &inner.keyring, &tenants::data_key(tx, tenant).await?)?;
            let sealed = data_key.seal(&place(tenant, &kid), &Secret::new(bytes), random)?;
            let params = values![tenant, &kid, api.as_str(), org, account, sealed, version, now];
            if tx.run_one(&USER_SECRET_ADD, params).await?.is_some() {
                entry.write(tx).await?;
            }
            // Of two that asked at once one made it, and both get that one.
            let row = tx.run_one(&USER_SECRET_LIVE, values![tenant, api.as_str(), account]).await?;
            read(tx, &inner.keyring, &owner, row.ok_or(StoreError::NotFound { what: "user secret" })?).await
        })
        .await
    }

    /// Takes the account's secret for the API away.
    ///
    /// # Errors
    /// If there is none.
    pub async fn user_secret_revoke(&self, api: &ApiName, account: AccountId) -> Result<(), StoreError> {
        let (tenant, api) = (self.tenant, api.clone());
        let entry = self.entry("USER_TOKEN_REVOKED", ("member", account.to_string()), json!({ "api": api }));
        self.write(async move |tx: &mut Tx<'_>| {
            let row = tx.run_one(&USER_SECRET_REVOKE, values![tenant, api.as_str(), account]).await?;
            let row = row.ok_or(StoreError::NotFound { what: "user secret" })?;
            entry.within(row.read().parse()?).write(tx).await
        })
        .await
    }
}
