//! API keys.

use std::collections::BTreeMap;

use claviger::directory::{Annotated, State};
use claviger::id::{Environment, KeyId};
use claviger::network::{Network, Networks};
use claviger_store::api_keys::{DEFAULT_GRACE_SECONDS, KeyView, NewApiKey, SecretView, ShownKey};
use claviger_store::tenant_store::TenantStore;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::annotations::{AnnotationChanges, Annotations, found, given};
use super::operation::{Call, operations};
use super::orgs::id;
use super::page::{self, Page};
use super::{input, parse, shown};
use crate::failure::Failure;

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// The tenant's id
    tenant: String,
    /// The organization's id
    org: String,
    /// What to call it
    name: String,
    /// What it may do: `read` (the default), `write` or `admin` of everything, or of resources: `orders:write leads:read`
    scope: Option<String>,
    /// `live` (the default) or `test`
    #[schema(value_type = Option<String>)]
    environment: Option<Environment>,
    /// When it ends, such as 2030-01-31T12:00:00Z; never by default
    expires_at: Option<String>,
    /// Networks it may be used from, such as 203.0.113.0/24; any by default
    networks: Option<Vec<String>>,
    /// The API it is for, whose keys' prefix it gets; the first of the realm by default
    api: Option<String>,
}

/// Which keys.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// The tenant's id
    tenant: String,
    /// The organization's id
    org: String,
    /// Only the one that your own systems call so
    external_id: Option<String>,
    /// Where to read on: the `next` of the page before
    after: Option<String>,
    /// How many at most, from 1 to 500; 100 by default
    #[serde(default, deserialize_with = "input::number")]
    limit: Option<u16>,
}

/// Which key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// The tenant's id
    tenant: String,
    /// The key's id, `key_…`
    key: String,
}

/// What to change of what others call a key, and keep beside it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Annotate {
    /// The tenant's id
    tenant: String,
    /// The key's id, `key_…`
    key: String,
    /// What your own systems call it; `null` takes it away
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    external_id: Option<Option<String>>,
    /// What to keep with it; `null` takes one away
    #[serde(default)]
    metadata: BTreeMap<String, Option<String>>,
}

/// A key to get a new secret.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rotate {
    /// The tenant's id
    tenant: String,
    /// The key's id, `key_…`
    key: String,
    /// How long the old secret goes on, in seconds: 0 to 604800; 86400 by default
    grace_seconds: Option<i64>,
}

/// A key's secret, without the secret.
#[derive(Debug, Serialize, ToSchema)]
struct SecretShown {
    /// What it begins with.
    prefix: String,
    /// What it ends with.
    last_four: String,
    /// Whether a newer one has taken its place.
    old: bool,
    /// When it was made.
    created_at: String,
    /// When it ends by itself.
    expires_at: Option<String>,
}

/// A key.
#[derive(Debug, Serialize, ToSchema)]
struct KeyShown {
    /// Its id, which stays when it is rotated.
    key_id: String,
    /// What it is called.
    name: String,
    /// What it may do.
    scope: String,
    /// `live` or `test`.
    environment: String,
    /// `active`, `disabled` or `revoked`.
    state: &'static str,
    /// Where it may be used from, if not everywhere.
    networks: Option<Vec<String>>,
    /// When it was made.
    created_at: String,
    /// When it ends by itself.
    expires_at: Option<String>,
    /// Its secrets that are good.
    secrets: Vec<SecretShown>,
    #[serde(flatten)]
    annotations: Annotations,
}

/// A key with its secret, shown this once.
#[derive(Serialize, ToSchema)]
struct KeyMade {
    /// The key itself.
    key: Option<String>,
    #[serde(flatten)]
    shown: KeyShown,
}

impl Drop for KeyMade {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.key);
    }
}

operations! {
    /// Make a key and show it, this once
    "key.create": POST "/v1/tenants/{tenant}/organizations/{org}/keys" for Owner = create(Create) -> KeyMade;
    /// List an organization's keys, without their secrets
    "key.list": GET "/v1/tenants/{tenant}/organizations/{org}/keys" for Reader = list(List) -> Page<KeyShown>;
    /// Show a key, without its secrets
    "key.view": GET "/v1/tenants/{tenant}/keys/{key}" for Reader = view(Which) -> KeyShown;
    /// Say what your own systems call a key, and what to keep with it
    "key.annotate": PATCH "/v1/tenants/{tenant}/keys/{key}/annotations" for Support = annotate(Annotate) -> KeyShown;
    /// Make a new secret and show it, this once; the old one goes on for the grace
    "key.rotate": POST "/v1/tenants/{tenant}/keys/{key}/rotate" for Owner = rotate(Rotate) -> KeyMade;
    /// End the grace of a rotated key's old secret now
    "key.revoke-old": POST "/v1/tenants/{tenant}/keys/{key}/revoke-old" for Support = revoke_old(Which) -> KeyShown;
    /// Refuse a key for now
    "key.disable": POST "/v1/tenants/{tenant}/keys/{key}/disable" for Support = disable(Which) -> KeyShown;
    /// Let a disabled key in again
    "key.enable": POST "/v1/tenants/{tenant}/keys/{key}/enable" for Support = enable(Which) -> KeyShown;
    /// End a key for good
    "key.revoke": DELETE "/v1/tenants/{tenant}/keys/{key}" for Support = revoke(Which) -> KeyShown;
}

fn secret(secret: &SecretView) -> SecretShown {
    SecretShown {
        prefix: secret.prefix.clone(),
        last_four: secret.last_four.clone(),
        old: secret.is_old,
        created_at: shown(secret.created_at),
        expires_at: secret.expires_at.map(shown),
    }
}

fn one(key: &KeyView, annotations: Annotations) -> KeyShown {
    KeyShown {
        key_id: key.key.to_string(),
        name: key.name.clone(),
        scope: key.grants.to_string(),
        environment: key.environment.as_str().to_owned(),
        state: match key.state {
            State::Active => "active",
            State::Suspended => "disabled",
            State::Deleted => "revoked",
        },
        networks: key.networks.as_ref().map(|networks| networks.iter().collect()),
        created_at: shown(key.created_at),
        expires_at: key.expires_at.map(shown),
        secrets: key.secrets.iter().map(secret).collect(),
        annotations,
    }
}

async fn shown_whole(store: &TenantStore, key: KeyId) -> Result<KeyShown, Failure> {
    let annotation = store.annotation(Annotated::Key(key)).await?;
    Ok(one(&store.key_view(key).await?, annotation.into()))
}

async fn made(store: &TenantStore, made: &ShownKey) -> Result<KeyMade, Failure> {
    let annotation = store.annotation(Annotated::Key(made.view.key)).await?;
    let key = made.key.secret.expose_text().map(str::to_owned);
    Ok(KeyMade { key, shown: one(&made.view, annotation.into()) })
}

async fn open(call: &Call, which: &Which) -> Result<(TenantStore, KeyId), Failure> {
    Ok((call.tenant(&which.tenant).await?, parse(&which.key, "key")?))
}

async fn create(call: &Call, input: Create) -> Result<KeyMade, Failure> {
    let store = call.tenant(&input.tenant).await?;
    let realm = store.tenant_view().await?.realm;
    let management = &call.management;
    let grants = management.known_scope(&realm, input.scope.as_deref().unwrap_or("read"))?;
    let api = match &input.api {
        Some(api) => call.api_for(&store, api).await?,
        None => management.some_api_of(&realm)?,
    };
    let expires_at = input.expires_at.as_deref().map(|text| input::time(text, "expires_at")).transpose()?;
    let read = |list: &Vec<String>| {
        let networks = list.iter().map(|text| parse::<Network>(text, "networks"));
        networks.collect::<Result<Vec<_>, _>>().map(Networks::new)
    };
    let new = NewApiKey {
        org: id(&input.org)?,
        name: input.name,
        prefix: api.api.key_prefix.clone(),
        environment: input.environment.unwrap_or(Environment::Live),
        grants,
        networks: input.networks.as_ref().map(read).transpose()?,
        expires_at,
    };
    made(&store, &store.key_create(new).await?).await
}

async fn list(call: &Call, input: List) -> Result<Page<KeyShown>, Failure> {
    let (store, org) = (call.tenant(&input.tenant).await?, id(&input.org)?);
    let (after, limit) = (page::after(input.after.as_deref())?, page::limit(input.limit)?);
    if let Some(id) = input.external_id {
        let keys = match found(store.annotated("key", &id).await)? {
            Some(Annotated::Key(key)) if store.key_view(key).await?.org == org => {
                vec![shown_whole(&store, key).await?]
            }
            _ => Vec::new(),
        };
        return Ok(Page::whole(keys));
    }
    let keys = store.key_page(org, after, limit).await?;
    let about = |key: &KeyView| Annotated::Key(key.key).entity();
    let mut annotations = store.annotations("key", keys.iter().map(about).collect()).await?;
    let mut of = |key: &KeyView| annotations.remove(&about(key)).unwrap_or_default();
    let shown = keys.iter().map(|key| one(key, of(key).into())).collect();
    Ok(Page::of(shown, limit, keys.last().map(Into::into)))
}

async fn view(call: &Call, input: Which) -> Result<KeyShown, Failure> {
    let (store, key) = open(call, &input).await?;
    shown_whole(&store, key).await
}

async fn annotate(call: &Call, input: Annotate) -> Result<KeyShown, Failure> {
    let (store, key) = open(call, &Which { tenant: input.tenant, key: input.key }).await?;
    let changes = AnnotationChanges { external_id: input.external_id, metadata: input.metadata };
    store.annotate(Annotated::Key(key), changes.into()).await?;
    shown_whole(&store, key).await
}

async fn rotate(call: &Call, input: Rotate) -> Result<KeyMade, Failure> {
    let (store, key) = open(call, &Which { tenant: input.tenant, key: input.key }).await?;
    let grace = input.grace_seconds.unwrap_or(DEFAULT_GRACE_SECONDS);
    made(&store, &store.key_rotate(key, grace).await?).await
}

async fn revoke_old(call: &Call, input: Which) -> Result<KeyShown, Failure> {
    let (store, key) = open(call, &input).await?;
    store.key_revoke_old(key).await?;
    shown_whole(&store, key).await
}

async fn disable(call: &Call, input: Which) -> Result<KeyShown, Failure> {
    let (store, key) = open(call, &input).await?;
    store.key_disable(key).await?;
    shown_whole(&store, key).await
}

async fn enable(call: &Call, input: Which) -> Result<KeyShown, Failure> {
    let (store, key) = open(call, &input).await?;
    store.key_enable(key).await?;
    shown_whole(&store, key).await
}

async fn revoke(call: &Call, input: Which) -> Result<KeyShown, Failure> {
    let (store, key) = open(call, &input).await?;
    store.key_revoke(key).await?;
    shown_whole(&store, key).await
}
