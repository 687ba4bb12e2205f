//! API keys found by what people know of them, and listed page by page.

use std::collections::HashMap;

use claviger::api_key::KeyDigest;
use claviger::id::{KeyId, OrgId, RealmName, TenantId};

use super::api_keys::{KEY_PAGE, KEY_PAGE_OF_TENANT, KEYS_NAMED, KeyView, read};
use super::key_secrets::{
    Held, KEY_BY_DIGEST, KEY_SECRETS_OF, KEY_SECRETS_OF_TENANT, KEYS_ENDING, KEYS_ENDING_OF_TENANT,
    SecretView,
};
use crate::backend::Tx;
use crate::error::StoreError;
use crate::page::{After, PAGE, limited};
use crate::parts::operator::Operator;
use crate::parts::tenant_store::TenantStore;
use crate::tenancy::orgs;
use crate::value::{Row, values};

/// Which keys are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeysListed {
    /// Those of one organization, or of the whole tenant.
    pub org: Option<OrgId>,
    /// Whether those that are revoked are too.
    pub revoked_too: bool,
}

impl Operator {
    /// Whose keys, of this realm, have, or had, a secret that ends so, `limit` at most.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn keys_ending(
        &self,
        realm: &RealmName,
        last_four: &str,
        limit: i64,
    ) -> Result<Vec<(TenantId, KeyId)>, StoreError> {
        let (realm, end) = (realm.clone(), last_four.to_owned());
        self.read(async move |tx: &mut Tx<'_>| {
            let rows = tx.run(&KEYS_ENDING, values![&end, realm.as_str(), limit]).await?;
            rows.into_iter().map(whose).collect()
        })
        .await
    }

    /// Whose key this is, good or not, if anybody's.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn key_with(&self, digest: KeyDigest) -> Result<Option<(TenantId, KeyId)>, StoreError> {
        self.read(async move |tx: &mut Tx<'_>| {
            let row = tx.run_one(&KEY_BY_DIGEST, values![digest.as_bytes().as_slice()]).await?;
            row.map(whose).transpose()
        })
        .await
    }
}

fn whose(row: Row) -> Result<(TenantId, KeyId), StoreError> {
    let mut columns = row.read();
    Ok((columns.parse()?, columns.key_id()?))
}

impl TenantStore {
    /// At most `limit` ([`PAGE`]) of the keys, the oldest first, after `after`.
    ///
    /// # Errors
    /// If there is no such organization.
    pub async fn key_page(
        &self,
        listed: KeysListed,
        after: Option<After>,
        limit: u16,
    ) -> Result<Vec<KeyView>, StoreError> {
        let tenant = self.tenant;
        let (at, id) = After::parameters(after);
        self.read(async move |tx: &mut Tx<'_>| {
            let (id, limit, revoked_too) = (id.clone(), limited(limit), listed.revoked_too);
            let rows = match listed.org {
                Some(org) => {
                    orgs::view(tx, tenant, org).await?;
                    tx.run(&KEY_PAGE, values![tenant, org, at, id.clone(), limit, revoked_too]).await?
                }
                None => {
                    tx.run(&KEY_PAGE_OF_TENANT, values![tenant, at, id.clone(), limit, revoked_too]).await?
                }
            };
            let now = tx.now().await?;
            let keys: Vec<KeyView> = rows.into_iter().map(read).collect::<Result<_, _>>()?;
            let Some(last) = keys.last() else { return Ok(keys) };
            let found = match listed.org {
                Some(org) => {
                    let range = values![tenant, org, at, id, last.created_at, last.key];
                    tx.run(&KEY_SECRETS_OF, range).await?
                }
                None => {
                    let range = values![tenant, at, id, last.created_at, last.key];
                    tx.run(&KEY_SECRETS_OF_TENANT, range).await?
                }
            };
            let mut secrets: HashMap<KeyId, Vec<SecretView>> = HashMap::new();
            for row in found {
                let secret = Held::read(row)?;
                if secret.is_live(now) {
                    secrets.entry(secret.key).or_default().push(secret.view);
                }
            }
            let with =
                |key: KeyView| KeyView { secrets: secrets.remove(&key.key).unwrap_or_default(), ..key };
            Ok(keys.into_iter().map(with).collect())
        })
        .await
    }

    /// The organization's keys that are not revoked, the oldest first: page by page, so that nobody waits for a long list.
    ///
    /// # Errors
    /// If there is no such organization.
    pub async fn key_list(&self, org: OrgId) -> Result<Vec<KeyView>, StoreError> {
        let mut all: Vec<KeyView> = Vec::new();
        loop {
            let listed = KeysListed { org: Some(org), revoked_too: false };
            let page = self.key_page(listed, all.last().map(After::from), PAGE).await?;
            let is_last = page.len() < usize::from(PAGE);
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// The keys that have, or had, a secret that ends so, `limit` at most.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn keys_ending(&self, last_four: &str, limit: i64) -> Result<Vec<KeyId>, StoreError> {
        let (tenant, end) = (self.tenant, last_four.to_owned());
        self.read(async move |tx: &mut Tx<'_>| {
            let rows = tx.run(&KEYS_ENDING_OF_TENANT, values![tenant, &end, limit]).await?;
            rows.into_iter().map(|row| row.read().key_id()).collect()
        })
        .await
    }

    /// The keys that are called so and not revoked, `limit` at most.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn keys_named(&self, name: &str, limit: i64) -> Result<Vec<KeyId>, StoreError> {
        let (tenant, name) = (self.tenant, name.to_owned());
        self.read(async move |tx: &mut Tx<'_>| {
            let rows = tx.run(&KEYS_NAMED, values![tenant, &name, limit]).await?;
            rows.into_iter().map(|row| row.read().key_id()).collect()
        })
        .await
    }
}
