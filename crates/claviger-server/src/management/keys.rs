//! API keys.

use std::collections::BTreeMap;

use claviger::api_key::{KeyDigest, PresentedKey};
use claviger::directory::{Annotated, State};
use claviger::id::{Environment, KeyId};
use claviger::network::{Network, Networks};
use claviger_store::StoreError;
use claviger_store::api_keys::{ApiKeyUpdate, KeyView, NewApiKey, SecretView, ShownKey};
use claviger_store::key_authority::{KEY_BEYOND, KeyManager};
use claviger_store::key_lookups::KeysListed;
use claviger_store::key_rotation::DEFAULT_GRACE_SECONDS;
use claviger_store::tenant_store::TenantStore;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::annotations::{AnnotationChanges, Annotations, found, given, looked_for};
use super::operation::{Call, operations};
use super::page::{self, Page};
use super::{input, parse, shown};
use crate::failure::{Failure, FailureKind};

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// The tenant: its id, external id or name
    tenant: String,
    /// The organization: its id, external id or name
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
    /// The tenant: its id, external id or name
    tenant: String,
    /// Only those of this organization: its id, external id or name
    org: Option<String>,
    /// Only the one that your own systems call so
    external_id: Option<String>,
    /// Only those that are called so
    name: Option<String>,
    /// Only those in this state: `active`, `disabled` or `revoked`; all that are not revoked by default
    #[schema(value_type = Option<String>)]
    state: Option<KeyState>,
    /// Only those of `live` or `test`
    #[schema(value_type = Option<String>)]
    environment: Option<Environment>,
    /// Where to read on: the `next` of the page before
    after: Option<String>,
    /// How many at most, from 1 to 500; 100 by default
    #[serde(default, deserialize_with = "input::number")]
    limit: Option<u16>,
}

/// What becomes of a key that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KeyState {
    Active,
    Disabled,
    Revoked,
}

impl KeyState {
    fn of(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Suspended => Self::Disabled,
            State::Deleted => Self::Revoked,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
        }
    }
}

/// What is known of a key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Find {
    /// The key itself, good or not
    key: Option<String>,
    /// The last four characters of it
    last_four: Option<String>,
}

impl Drop for Find {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.key);
    }
}

/// What to change of a key. `null` takes a bound away, what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Update {
    /// The tenant: its id, external id or name
    tenant: String,
    /// The key: its id (`key_…`), external id or name
    key: String,
    /// Its new name
    name: Option<String>,
    /// What it may do: `read`, `write` or `admin` of everything, or of resources: `orders:write leads:read`
    scope: Option<String>,
    /// Networks it may be used from, such as 203.0.113.0/24; `null` for any
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    networks: Option<Option<Vec<String>>>,
    /// When it ends, such as 2030-01-31T12:00:00Z; `null` for never
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    expires_at: Option<Option<String>>,
    /// Only if this is still its `version` (`If-Match`)
    if_version: Option<String>,
}

/// Which key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// The tenant: its id, external id or name
    tenant: String,
    /// The key: its id (`key_…`), external id or name
    key: String,
}

/// What to change of what others call a key, and keep beside it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Annotate {
    /// The tenant: its id, external id or name
    tenant: String,
    /// The key: its id (`key_…`), external id or name
    key: String,
    /// What your own systems call it; `null` takes it away
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    external_id: Option<Option<String>>,
    /// What to keep with it; `null` takes one away
    #[serde(default)]
    metadata: BTreeMap<String, Option<String>>,
    /// Only if this is still its `version` (`If-Match`)
    if_version: Option<String>,
}

/// A key to get a new secret.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rotate {
    /// The tenant: its id, external id or name
    tenant: String,
    /// The key: its id (`key_…`), external id or name
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
    /// When it was last used to be let in, if it was; a second late at most.
    last_used_at: Option<String>,
    /// From which address, if that is known.
    last_used_from: Option<String>,
}

/// A key.
#[derive(Debug, Serialize, ToSchema)]
struct KeyShown {
    /// Its id, which stays when it is rotated.
    key_id: String,
    /// The organization it belongs to.
    org_id: String,
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
    /// When one of its secrets that are good was last used.
    last_used_at: Option<String>,
    /// Its secrets that are good.
    secrets: Vec<SecretShown>,
    #[serde(flatten)]
    annotations: Annotations,
    /// What to give as `if_version` or `If-Match` to change only what was seen; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

/// A key that was found.
#[derive(Debug, Serialize, ToSchema)]
struct KeyFound {
    /// The tenant it belongs to.
    tenant_id: String,
    #[serde(flatten)]
    shown: KeyShown,
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
    "key.create": POST "/v1/tenants/{tenant}/organizations/{org}/keys" for Owner and Admin = create(Create) -> KeyMade;
    /// List the keys of a tenant, or of an organization, without their secrets
    "key.list": GET "/v1/tenants/{tenant}/keys" for Reader and Admin = list(List) -> Page<KeyShown>;
    /// Find a key by itself or by its last four characters, whosever it is
    "key.find": POST "/v1/keys/find" for Reader = find(Find) -> Page<KeyFound>;
    /// Show a key, without its secrets
    "key.view": GET "/v1/tenants/{tenant}/keys/{key}" for Reader and Admin = view(Which) -> KeyShown;
    /// Change a key's name, what it may do, from where, or until when
    "key.update": PATCH "/v1/tenants/{tenant}/keys/{key}" for Owner and Admin = update(Update) -> KeyShown;
    /// Say what your own systems call a key, and what to keep with it
    "key.annotate": PATCH "/v1/tenants/{tenant}/keys/{key}/annotations" for Support = annotate(Annotate) -> KeyShown;
    /// Make a new secret and show it, this once; the old one goes on for the grace
    "key.rotate": POST "/v1/tenants/{tenant}/keys/{key}/rotate" for Owner and Admin = rotate(Rotate) -> KeyMade;
    /// End the grace of a rotated key's old secret now
    "key.revoke-old": POST "/v1/tenants/{tenant}/keys/{key}/revoke-old" for Support and Admin = revoke_old(Which) -> KeyShown;
    /// Refuse a key for now
    "key.disable": POST "/v1/tenants/{tenant}/keys/{key}/disable" for Support and Admin = disable(Which) -> KeyShown;
    /// Let a disabled key in again
    "key.enable": POST "/v1/tenants/{tenant}/keys/{key}/enable" for Support and Admin = enable(Which) -> KeyShown;
    /// End a key for good
    "key.revoke": DELETE "/v1/tenants/{tenant}/keys/{key}" for Support and Admin = revoke(Which) -> KeyShown;
}

fn secret(secret: &SecretView) -> SecretShown {
    SecretShown {
        prefix: secret.prefix.clone(),
        last_four: secret.last_four.clone(),
        old: secret.is_old,
        created_at: shown(secret.created_at),
        expires_at: secret.expires_at.map(shown),
        last_used_at: secret.last_used_at.map(shown),
        last_used_from: secret.last_used_from.map(|address| address.to_string()),
    }
}

fn one(key: &KeyView, annotations: Annotations) -> KeyShown {
    KeyShown {
        key_id: key.key.to_string(),
        org_id: key.org.to_string(),
        name: key.name.clone(),
        scope: key.grants.to_string(),
        environment: key.environment.as_str().to_owned(),
        state: KeyState::of(key.state).as_str(),
        networks: key.networks.as_ref().map(|networks| networks.iter().collect()),
        created_at: shown(key.created_at),
        expires_at: key.expires_at.map(shown),
        last_used_at: key.secrets.iter().filter_map(|secret| secret.last_used_at).max().map(shown),
        secrets: key.secrets.iter().map(secret).collect(),
        annotations,
        version: None,
    }
}

async fn shown_whole(store: &TenantStore, key: KeyId) -> Result<KeyShown, Failure> {
    let version = store.version(Annotated::Key(key)).await?;
    let annotation = store.annotation(Annotated::Key(key)).await?;
    let shown = one(&store.key_view(key).await?, annotation.into());
    Ok(KeyShown { version: Some(version.to_string()), ..shown })
}

async fn made(store: &TenantStore, made: &ShownKey) -> Result<KeyMade, Failure> {
    let annotation = store.annotation(Annotated::Key(made.view.key)).await?;
    let key = made.key.secret.expose_text().map(str::to_owned);
    Ok(KeyMade { key, shown: one(&made.view, annotation.into()) })
}

/// The tenant's part of the store, in which a person manages keys no further than they may do things themselves.
async fn managed(call: &Call, tenant: &str) -> Result<TenantStore, Failure> {
    let store = call.tenant(tenant).await?;
    Ok(match call.caller.person() {
        None => store,
        Some(person) => {
            let realm = store.tenant_view().await?.realm;
            let grants = call.management.role_where_keys_are(&realm, &person.role);
            let org = call.caller.bound_to();
            store.managed_by(KeyManager::Person { org, environment: None, grants })
        }
    })
}

fn refused(error: StoreError) -> Failure {
    match error {
        StoreError::Refused { why: KEY_BEYOND } => Failure::of(FailureKind::Forbidden, KEY_BEYOND),
        error => error.into(),
    }
}

async fn open(call: &Call, which: &Which) -> Result<(TenantStore, KeyId), Failure> {
    let store = managed(call, &which.tenant).await?;
    let key = call.key(&store, &which.key).await?;
    Ok((store, key))
}

async fn create(call: &Call, input: Create) -> Result<KeyMade, Failure> {
    let store = managed(call, &input.tenant).await?;
    let realm = store.tenant_view().await?.realm;
    let management = &call.management;
    let grants = management.known_scope(&realm, input.scope.as_deref().unwrap_or("read"))?;
    let api = match &input.api {
        Some(api) => call.api_for(&store, api).await?,
        None => management.some_api_of(&realm)?,
    };
    let expires_at = input.expires_at.as_deref().map(|text| input::time(text, "expires_at")).transpose()?;
    let new = NewApiKey {
        org: call.org(&store, &input.org).await?,
        name: input.name,
        prefix: api.api.key_prefix.clone(),
        environment: input.environment.unwrap_or(Environment::Live),
        grants,
        networks: input.networks.as_deref().map(networks).transpose()?,
        expires_at,
    };
    let most = management.most_live_keys(&realm);
    made(&store, &store.key_create_under(new, most).await.map_err(refused)?).await
}

pub(super) fn networks(list: &[String]) -> Result<Networks, Failure> {
    let networks = list.iter().map(|text| parse::<Network>(text, "networks"));
    networks.collect::<Result<Vec<_>, _>>().map(Networks::new)
}

async fn list(call: &Call, input: List) -> Result<Page<KeyShown>, Failure> {
    let store = call.tenant(&input.tenant).await?;
    looked_for(call, input.external_id.as_deref())?;
    let org = match &input.org {
        Some(org) => Some(call.org(&store, org).await?),
        None => call.caller.bound_to(),
    };
    let (after, limit) = (page::after(input.after.as_deref())?, page::limit(input.limit)?);
    let List { name, state, environment, external_id, .. } = input;
    let is_wanted = |key: &KeyView| {
        org.is_none_or(|org| key.org == org)
            && name.as_ref().is_none_or(|name| key.name == *name)
            && match state {
                Some(state) => KeyState::of(key.state) == state,
                None => key.state != State::Deleted,
            }
            && environment.is_none_or(|environment| key.environment == environment)
    };
    if let Some(id) = external_id {
        let keys = match found(store.annotated("key", &id).await)? {
            Some(Annotated::Key(key)) if is_wanted(&store.key_view(key).await?) => {
                vec![shown_whole(&store, key).await?]
            }
            _ => Vec::new(),
        };
        return Ok(Page::whole(keys));
    }
    let is_filtered = name.is_some() || state.is_some() || environment.is_some();
    let listed = KeysListed { org, revoked_too: state == Some(KeyState::Revoked) };
    let read = |after, limit| store.key_page(listed, after, limit);
    let (keys, next) = page::wanted(after, limit, is_filtered.then_some(is_wanted), read).await?;
    let about = |key: &KeyView| Annotated::Key(key.key).entity();
    let mut annotations = store.annotations("key", keys.iter().map(about).collect()).await?;
    let mut of = |key: &KeyView| annotations.remove(&about(key)).unwrap_or_default();
    Ok(Page::going_on(keys.iter().map(|key| one(key, of(key).into())).collect(), next))
}

/// How many keys that end alike are shown.
const FOUND_AT_MOST: i64 = 100;

/// By what a key is found; its prefix is that of some API.
fn digest_of(call: &Call, key: &str) -> Result<KeyDigest, Failure> {
    let (peppers, apis) = (call.management.store.keyring().peppers()?, call.management.apis.load());
    let mut readings = apis.values().filter_map(|api| PresentedKey::parse(key, &api.api.key_prefix));
    let presented = readings.next().ok_or_else(|| {
        Failure::new("this is no key of these APIs")
            .hint("it has to be whole, from its prefix to its last character")
    })?;
    Ok(peppers.digest(&presented).digest)
}

async fn find(call: &Call, input: Find) -> Result<Page<KeyFound>, Failure> {
    let operator = call.operator();
    let whose = match (&input.key, &input.last_four) {
        (Some(key), None) => {
            let digest = digest_of(call, key.trim())?;
            operator.key_with(digest).await?.into_iter().collect()
        }
        (None, Some(end)) if end.len() == 4 => {
            let mut all = Vec::new();
            for realm in call.realms().await? {
                all.extend(operator.keys_ending(&realm, end, FOUND_AT_MOST).await?);
            }
            for tenant in call.tenants() {
                let keys = operator.tenant(tenant).keys_ending(end, FOUND_AT_MOST).await?;
                all.extend(keys.into_iter().map(|key| (tenant, key)));
            }
            all
        }
        (None, Some(end)) => {
            return Err(Failure::argument("last_four", end, "these are not four characters"));
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(Failure::new("name either the key itself or its last four characters"));
        }
    };
    let mut found = Vec::new();
    for (tenant, key) in whose {
        // Through the caller's own bounds: what is beyond them is not there.
        let store = match call.tenant(&tenant.to_string()).await {
            Ok(store) => store,
            Err(failure) if failure.kind == FailureKind::NotFound => continue,
            Err(failure) => return Err(failure),
        };
        found.push(KeyFound { tenant_id: tenant.to_string(), shown: shown_whole(&store, key).await? });
    }
    Ok(Page::whole(found))
}

async fn update(call: &Call, input: Update) -> Result<KeyShown, Failure> {
    let (store, key) = open(call, &Which { tenant: input.tenant, key: input.key }).await?;
    let realm = store.tenant_view().await?.realm;
    if input.name.is_none() && input.scope.is_none() && input.networks.is_none() && input.expires_at.is_none()
    {
        let what = "nothing is named that is to be changed";
        return Err(Failure::new(what).hint("name one of `name`, `scope`, `networks` and `expires_at`"));
    }
    let scope = input.scope.as_deref();
    let update = ApiKeyUpdate {
        name: input.name,
        grants: scope.map(|scope| call.management.known_scope(&realm, scope)).transpose()?,
        networks: match input.networks {
            Some(Some(list)) => Some(Some(networks(&list)?)),
            Some(None) => Some(None),
            None => None,
        },
        expires_at: match input.expires_at {
            Some(Some(text)) => Some(Some(input::time(&text, "expires_at")?)),
            Some(None) => Some(None),
            None => None,
        },
    };
    let held = store.clone().unless_edited(Annotated::Key(key), input::version(input.if_version.as_deref())?);
    held.key_update(key, update).await.map_err(refused)?;
    shown_whole(&store, key).await
}

async fn view(call: &Call, input: Which) -> Result<KeyShown, Failure> {
    let (store, key) = open(call, &input).await?;
    shown_whole(&store, key).await
}

async fn annotate(call: &Call, input: Annotate) -> Result<KeyShown, Failure> {
    let (store, key) = open(call, &Which { tenant: input.tenant, key: input.key }).await?;
    let since = input::version(input.if_version.as_deref())?;
    let changes = AnnotationChanges { external_id: input.external_id, metadata: input.metadata };
    let about = Annotated::Key(key);
    store.clone().unless_edited(about, since).annotate(about, changes.into()).await?;
    shown_whole(&store, key).await
}

async fn rotate(call: &Call, input: Rotate) -> Result<KeyMade, Failure> {
    let (store, key) = open(call, &Which { tenant: input.tenant, key: input.key }).await?;
    // Which of two secrets is replaced hangs on what was used so far.
    call.management.write_down().await;
    let grace = input.grace_seconds.unwrap_or(DEFAULT_GRACE_SECONDS);
    made(&store, &store.key_rotate(key, grace).await.map_err(refused)?).await
}

async fn revoke_old(call: &Call, input: Which) -> Result<KeyShown, Failure> {
    let (store, key) = open(call, &input).await?;
    store.key_revoke_old(key).await.map_err(refused)?;
    shown_whole(&store, key).await
}

async fn disable(call: &Call, input: Which) -> Result<KeyShown, Failure> {
    let (store, key) = open(call, &input).await?;
    store.key_disable(key).await.map_err(refused)?;
    shown_whole(&store, key).await
}

async fn enable(call: &Call, input: Which) -> Result<KeyShown, Failure> {
    let (store, key) = open(call, &input).await?;
    store.key_enable(key).await.map_err(refused)?;
    shown_whole(&store, key).await
}

async fn revoke(call: &Call, input: Which) -> Result<KeyShown, Failure> {
    let (store, key) = open(call, &input).await?;
    store.key_revoke(key).await.map_err(refused)?;
    shown_whole(&store, key).await
}
