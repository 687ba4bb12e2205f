//! API keys as a tenant's own programs and people manage them at their API's host: what an operator can do, as far as whoever asks goes
//! themselves. On their own side of the sandbox and in their organization they see keys, and none that may do more than they gets them a
//! secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger::credential::CredentialKind;
use claviger::directory::{Annotated, State};
use claviger::id::{Environment, KeyId, OrgId};
use claviger::network::Client;
use claviger::{Api, Permit};
use claviger_store::annotations::{AnnotationUpdate, AnnotationView};
use claviger_store::api_keys::{ApiKeyUpdate, KeyView, NewApiKey, PLAN_IS_FULL, SecretView, ShownKey};
use claviger_store::key_authority::{KEY_BEYOND, KeyManager};
use claviger_store::key_lookups::KeysListed;
use claviger_store::key_rotation::{BOTH_IN_USE, DEFAULT_GRACE_SECONDS};
use claviger_store::page::After;
use claviger_store::wrote::Wrote;
use claviger_store::{Actor, StoreError, TenantStore};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::annotations::given;
use super::asked::forgets;
use super::keys::networks;
use super::{Management, input, once, shown};
use crate::failure::{Failure, FailureKind};

/// How many of a list are given when nobody says, and at most.
const PAGE: usize = 25;
const LONGEST_PAGE: usize = 100;
/// How far into a list somebody may go: each before it is read.
const FURTHEST: usize = 100_000;
/// How many are read at once.
const AT_ONCE: u16 = 500;

/// Somebody who was let in to manage keys.
#[derive(Debug)]
pub struct KeyHolder {
    management: Management,
    store: TenantStore,
    api: Arc<Api>,
    org: OrgId,
    environment: Environment,
    /// Whose an idempotency key is.
    whose: String,
}

impl KeyHolder {
    /// Whoever was let in: a key, or a person with their grants.
    pub fn of(management: &Management, permit: &Permit, client: Client) -> Result<Self, Failure> {
        let principal = permit.principal();
        let (org, environment) = (permit.org(), principal.environment());
        let nothing = || Failure::of(FailureKind::NotGranted, "nobody knows what whoever asks may do");
        let manager = match (principal.kind(), principal.key(), principal.role()) {
            (CredentialKind::ApiKey, Some(key), _) => KeyManager::Key(key),
            // Another issuer's word is not turned into a key of ours that has no end.
            _ if principal.is_anothers_word() => return Err(nothing()),
            (_, _, Some(role)) => KeyManager::Person {
                org: Some(org),
                environment: Some(environment),
                grants: management.role_where_keys_are(&permit.api().realm, role),
            },
            (_, _, None) => return Err(nothing()),
        };
        let actor = Actor::principal(principal);
        let actor = client.address().map_or(actor.clone(), |address| actor.from(address));
        Ok(Self {
            management: management.clone(),
            store: management.store.tenant(permit).by(actor).managed_by(manager),
            api: permit.api().clone(),
            org,
            environment,
            whose: format!("{} {environment} {}", permit.tenant(), principal.credential_id()),
        })
    }
}

/// What is refused, as the API's own host says it.
fn refused(error: StoreError) -> Failure {
    match error {
        StoreError::Refused { why: KEY_BEYOND } => Failure::of(FailureKind::NotGranted, KEY_BEYOND),
        StoreError::Refused { why } if [BOTH_IN_USE, PLAN_IS_FULL].contains(&why) => {
            Failure::of(FailureKind::Conflict, why)
        }
        error => error.into(),
    }
}

/// One of a key's secrets.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnSecret {
    last_four: String,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
}

/// A key of one's own organization.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnKey {
    id: String,
    name: String,
    scope: String,
    environment: String,
    prefix: String,
    last_four: Option<String>,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    secrets: Vec<OwnSecret>,
}

/// A key with its secret, shown this once.
#[derive(Serialize, ToSchema)]
pub struct OwnKeyMade {
    /// The key itself.
    key: String,
    #[serde(flatten)]
    shown: OwnKey,
}

forgets! { OwnKeyMade: key; }

fn secret(secret: &SecretView) -> OwnSecret {
    OwnSecret {
        last_four: secret.last_four.clone(),
        created_at: shown(secret.created_at),
        expires_at: secret.expires_at.map(shown),
        last_used_at: secret.last_used_at.map(shown),
    }
}

fn one(key: &KeyView) -> OwnKey {
    let newest = key.secrets.iter().find(|secret| !secret.is_old).or(key.secrets.last());
    OwnKey {
        id: key.key.to_string(),
        name: key.name.clone(),
        scope: key.grants.to_string(),
        environment: key.environment.to_string(),
        prefix: newest.map_or_else(|| key.prefix.as_str().to_owned(), |secret| secret.prefix.clone()),
        last_four: newest.map(|secret| secret.last_four.clone()),
        created_at: shown(key.created_at),
        expires_at: key.expires_at.map(shown),
        last_used_at: key.secrets.iter().filter_map(|secret| secret.last_used_at).max().map(shown),
        secrets: key.secrets.iter().map(secret).collect(),
    }
}

fn made(made: &ShownKey) -> Result<Value, Failure> {
    let key = made.key.secret.expose_text().unwrap_or_default().to_owned();
    spelt(&OwnKeyMade { key, shown: one(&made.view) })
}

fn spelt(value: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::of(FailureKind::Broken, error.to_string()))
}

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewOwnKey {
    name: String,
    scope: Option<String>,
    expires_at: Option<String>,
    allowed_networks: Option<Vec<String>>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// What to change of a key. `null` takes a bound away, what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct OwnKeyUpdate {
    name: Option<String>,
    scope: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    expires_at: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    allowed_networks: Option<Option<Vec<String>>>,
    #[serde(default)]
    metadata: BTreeMap<String, Option<String>>,
}

/// How a key gets another secret.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct OwnRotation {
    /// How long the old secret goes on, in seconds: 0 to 604800; 86400 by default
    grace_seconds: Option<i64>,
}

/// The number of a page and its length, from a query.
fn part(query: &[(String, String)]) -> Result<(usize, usize), Failure> {
    let (mut page, mut limit) = (1, PAGE);
    for (name, value) in query {
        let number = |most: usize| {
            let number = value.parse().ok().filter(|number| (1..=most).contains(number));
            number.ok_or_else(|| Failure::new(format!("`{name}`: use a number from 1 to {most}")))
        };
        match name.as_str() {
            "page" => page = number(FURTHEST)?,
            "limit" => limit = number(LONGEST_PAGE)?,
            _ => {}
        }
    }
    if page.saturating_sub(1).saturating_mul(limit) > FURTHEST {
        return Err(Failure::new(format!("`page`: no list is read further than {FURTHEST} keys")));
    }
    Ok((page, limit))
}

impl KeyHolder {
    fn key(id: &str) -> Result<KeyId, Failure> {
        id.parse().map_err(|_| StoreError::NotFound { what: "API key" }.into())
    }

    /// A key that is not revoked.
    async fn live(&self, id: &str) -> Result<KeyView, Failure> {
        let found = self.store.key_view(Self::key(id)?).await.map_err(refused)?;
        match found.state {
            State::Deleted => Err(StoreError::NotFound { what: "API key" }.into()),
            State::Active | State::Suspended => Ok(found),
        }
    }

    /// The keys of the organization on this side of the sandbox, the oldest first.
    ///
    /// # Errors
    /// If the query is none.
    pub async fn list(&self, query: &[(String, String)]) -> Result<Value, Failure> {
        let (page, limit) = part(query)?;
        let skipped = (page - 1).saturating_mul(limit);
        let listed = KeysListed { org: Some(self.org), revoked_too: false };
        let (mut total, mut found, mut after): (usize, Vec<OwnKey>, Option<After>) = (0, Vec::new(), None);
        loop {
            let read = self.store.key_page(listed, after, AT_ONCE).await?;
            for key in read.iter().filter(|key| key.environment == self.environment) {
                if total >= skipped && found.len() < limit {
                    found.push(one(key));
                }
                total += 1;
            }
            after = read.last().map(After::from);
            if read.len() < usize::from(AT_ONCE) {
                break;
            }
        }
        let pages = total.div_ceil(limit);
        Ok(json!({
            "data": spelt(&found)?,
            "pagination": { "page": page, "limit": limit, "total": total, "totalPages": pages, "hasMore": page < pages },
        }))
    }

    /// One of them.
    ///
    /// # Errors
    /// If there is none.
    pub async fn view(&self, id: &str) -> Result<Value, Failure> {
        spelt(&one(&self.live(id).await?))
    }

    /// Makes one, which is shown this once: with the bounds of whoever asks, where none are said.
    ///
    /// # Errors
    /// If something is none, or it could do more than whoever asks.
    pub async fn create(&self, input: NewOwnKey) -> Result<Value, Failure> {
        let grants =
            self.management.known_scope(&self.api.realm, input.scope.as_deref().unwrap_or("read"))?;
        let expires_at =
            input.expires_at.as_deref().map(|text| input::time(text, "expiresAt")).transpose()?;
        let metadata: BTreeMap<String, Option<String>> =
            input.metadata.into_iter().map(|(name, value)| (name, Some(value))).collect();
        let update = AnnotationUpdate { external_id: None, metadata };
        update.check()?;
        update.applied_to(AnnotationView::default())?;
        let new = NewApiKey {
            org: self.org,
            name: input.name,
            prefix: self.api.key_prefix.clone(),
            environment: self.environment,
            grants,
            networks: input.allowed_networks.as_deref().map(networks).transpose()?,
            expires_at,
        };
        let most = self.management.most_live_keys(&self.api.realm);
        let key = self.store.key_create_under(new, most).await.map_err(refused)?;
        if !update.metadata.is_empty() {
            let id = key.view.key;
            if let Err(error) = self.store.annotate(Annotated::Key(id), update).await {
                // Nobody has seen it, and nobody will.
                self.store.key_revoke(id).await?;
                return Err(error.into());
            }
        }
        made(&key)
    }

    /// Changes one.
    ///
    /// # Errors
    /// If there is none, something is none, or it could do more, before or after, than whoever asks.
    pub async fn update(&self, id: &str, input: OwnKeyUpdate) -> Result<Value, Failure> {
        let key = self.live(id).await?.key;
        let scope = input.scope.as_deref();
        let update = ApiKeyUpdate {
            name: input.name,
            grants: scope.map(|scope| self.management.known_scope(&self.api.realm, scope)).transpose()?,
            networks: match input.allowed_networks {
                Some(Some(list)) => Some(Some(networks(&list)?)),
                Some(None) => Some(None),
                None => None,
            },
            expires_at: match input.expires_at {
                Some(Some(text)) => Some(Some(input::time(&text, "expiresAt")?)),
                Some(None) => Some(None),
                None => None,
            },
        };
        let annotation = AnnotationUpdate { external_id: None, metadata: input.metadata };
        annotation.check()?;
        annotation.applied_to(self.store.annotation(Annotated::Key(key)).await?)?;
        let (says_nothing, annotates) = (update == ApiKeyUpdate::default(), !annotation.metadata.is_empty());
        if says_nothing && !annotates {
            let what = "name one of `name`, `scope`, `expiresAt`, `allowedNetworks` and `metadata`";
            return Err(Failure::new(what));
        }
        if !says_nothing {
            self.store.key_update(key, update).await.map_err(refused)?;
        }
        if annotates {
            let annotated = self.store.annotate(Annotated::Key(key), annotation).await;
            annotated.map_err(|error| match says_nothing {
                true => refused(error),
                false => Failure::of(
                    FailureKind::Broken,
                    "the key is changed, and what is kept with it may not be",
                ),
            })?;
        }
        self.view(id).await
    }

    /// Gives one another secret, which is shown this once.
    ///
    /// # Errors
    /// If there is none, it may do more than whoever asks, both of its secrets are in use, or the grace is none.
    pub async fn rotate(&self, id: &str, input: OwnRotation) -> Result<Value, Failure> {
        let key = self.live(id).await?.key;
        self.management.write_down().await;
        let grace = input.grace_seconds.unwrap_or(DEFAULT_GRACE_SECONDS);
        made(&self.store.key_rotate(key, grace).await.map_err(refused)?)
    }

    /// Ends the grace of its old secret now.
    ///
    /// # Errors
    /// If there is none, it may do more than whoever asks, or none of its secrets is in its grace.
    pub async fn revoke_old(&self, id: &str) -> Result<Value, Failure> {
        let key = self.live(id).await?.key;
        spelt(&one(&self.store.key_revoke_old(key).await.map_err(refused)?))
    }

    /// Ends one for good.
    ///
    /// # Errors
    /// If there is none.
    pub async fn revoke(&self, id: &str) -> Result<(), Failure> {
        let key = self.live(id).await?.key;
        self.store.key_revoke(key).await.map_err(refused)
    }

    /// Does it once under an idempotency key, if there is one, however often it is asked for.
    ///
    /// # Errors
    /// As what is done; or if something else was asked for under the key, or it is under way.
    pub async fn once(
        &self,
        key: Option<&str>,
        (what, input): (&str, &Value),
        done: impl Future<Output = Result<Value, Failure>>,
    ) -> Result<Value, Failure> {
        let Some(key) = key else { return done.await };
        let operator = self.management.operator();
        let request = once::Request::of(operator, self.whose.clone(), key, (what, input))?;
        if let Some(value) = request.begin().await? {
            return Ok(value);
        }
        let outcome = done.await;
        request.end(&outcome, &Wrote::default()).await;
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_within_its_bounds() {
        let read = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> =
                pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            part(&pairs)
        };
        assert_eq!(read(&[]), Ok((1, 25)));
        assert_eq!(read(&[("limit", "100"), ("page", "3"), ("colour", "red")]), Ok((3, 100)));
        for wrong in [
            ("limit", "0"),
            ("limit", "101"),
            ("page", "0"),
            ("page", "-1"),
            ("page", "x"),
            ("page", "99999999999999999999"),
        ] {
            assert!(read(&[wrong]).is_err(), "{wrong:?}");
        }
        assert!(read(&[("page", "100000"), ("limit", "100")]).is_err());
    }
}
