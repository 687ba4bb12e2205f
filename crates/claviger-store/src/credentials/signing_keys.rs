//! Keys that sign: one line of them per realm for identity tokens, and one for the principal told to upstreams.
//!
//! A key is `next` first, so that everybody knows its public half before it signs; then `active`; then `retired`,
//! while its tokens live on; then `dropped`, when its private half is gone and nothing under it verifies.

use std::fmt;
use std::sync::Arc;

use claviger::clock::UnixMillis;
use claviger::id::{RealmName, TenantId};
use claviger::key_set::{Algorithm, VerifyingKey};
use claviger::signing_key::SigningKey;
use serde_json::json;

use crate::backend::Tx;
use crate::credentials::held_keys;
use crate::credentials::kid::base62;
use crate::error::StoreError;
use crate::feed::leases::Lease;
use crate::keyring::Keyring;
use crate::noun::{Feed, Index, Noun, Recorded, Rights, Rows, blob, int, text};
use crate::parts::inner::Inner;
use crate::parts::system_store::SystemStore;
use crate::seal::Place;
use crate::statement::statements;
use crate::value::{Columns, Row, values};

/// The rows of signing keys.
pub(crate) static SIGNING_KEY_ROWS: Noun = Noun {
    table: "signing_key",
    about: "A dropped key has no private half any more. `changed_at` is when it took the last step, if it has taken one.",
    columns: &[
        text("realm"),
        text("purpose").is("IN ('identity', 'principal')"),
        text("kid"),
        text("algorithm"),
        blob("sealed_key").optional(),
        blob("public_key"),
        text("state").is("IN ('next', 'active', 'retired', 'dropped')"),
        int("created_at"),
        int("changed_at").optional(),
    ],
    key: &["realm", "purpose", "kid"],
    references: &[],
    indices: &[
        Index::UniqueNamed("signing_key_active", "realm, purpose", Some("state = 'active'")),
        Index::UniqueNamed("signing_key_next", "realm, purpose", Some("state = 'next'")),
    ],
    tenant: Rights::NONE,
    jobs: Rights::CHANGE,
    feed: Feed::Tells {
        kind: "identity_key",
        id: &["realm", "kid"],
        only: Some("NEW.purpose = 'identity'"),
        since: 1,
    },
    fixed_but: None,
    grows_by: None,
};

impl Recorded for VerifyingKey {
    type Name = (RealmName, Arc<str>);

    const ROWS: Rows = Rows {
        noun: &SIGNING_KEY_ROWS,
        columns: "r.algorithm, r.public_key",
        with: "",
        only: "r.purpose = 'identity' AND r.state <> 'dropped'",
    };

    fn read((_, kid): &Self::Name, columns: &mut Columns, _: &Keyring) -> Result<Self, StoreError> {
        public(kid, &columns.text()?, &columns.blob()?)
    }

    fn tenant(&self) -> Option<TenantId> {
        None
    }

    fn is_of(&self, (_, kid): &Self::Name) -> bool {
        self.kid() == &**kid
    }

    fn agrees_with(&self, other: &Self) -> bool {
        self.kid() == other.kid() && self.algorithm() == other.algorithm() && self.raw() == other.raw()
    }
}

statements! { "signing key";
    SIGNING_ADD: System [Text, Text, Text, Text, Blob, Blob, Text, Int] grants
        "INSERT INTO signing_key (realm, purpose, kid, algorithm, sealed_key, public_key, state, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    /// Does nothing if another node made the first key meanwhile.
    SIGNING_ADD_FIRST: System [Text, Text, Text, Text, Blob, Blob, Int]
        "INSERT INTO signing_key (realm, purpose, kid, algorithm, sealed_key, public_key, state, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, 'active', $7)
         ON CONFLICT (realm, purpose) WHERE state = 'active' DO NOTHING RETURNING kid";
    SIGNING_LIST: System [Text, Text]
        "SELECT kid, algorithm, state, created_at, changed_at, public_key, sealed_key FROM signing_key
         WHERE realm = $1 AND purpose = $2 AND state <> 'dropped' ORDER BY created_at, kid";
    SIGNING_IN_STATE: System [Text, Text, Text]
        "SELECT kid, algorithm, state, created_at, changed_at, public_key, sealed_key FROM signing_key
         WHERE realm = $1 AND purpose = $2 AND state = $3";
    SIGNING_RETIRE: System [Text, Text, Int]
        "UPDATE signing_key SET state = 'retired', changed_at = $3 WHERE realm = $1 AND purpose = $2 AND state = 'active' RETURNING kid";
    SIGNING_ACTIVATE: System [Text, Text, Int]
        "UPDATE signing_key SET state = 'active', changed_at = $3 WHERE realm = $1 AND purpose = $2 AND state = 'next' RETURNING kid";
    SIGNING_DROP: System [Text, Text, Text] withdraws
        "UPDATE signing_key SET state = 'dropped', sealed_key = NULL
         WHERE realm = $1 AND purpose = $2 AND kid = $3 AND state IN ('retired', 'next') RETURNING kid";
    /// The one that signs, too: what all of them signed is refused from now on. None that is made afterwards.
    SIGNING_DROP_ALL: System [Text, Text, Int] withdraws
        "UPDATE signing_key SET state = 'dropped', sealed_key = NULL
         WHERE realm = $1 AND purpose = $2 AND created_at <= $3 AND state <> 'dropped' RETURNING kid";
}

/// When keys take turns by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// How long a key signs, in seconds.
    pub signs_seconds: i64,
    /// How long it is published before that: as long as somebody may go on with a key set that they have read.
    pub published_seconds: i64,
    /// How long it is believed afterwards: as long as what it signed lives.
    pub believed_seconds: i64,
}

/// A step that a key has taken by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It is published.
    Next(String),
    /// It signs.
    Active(String),
    /// What it signed is over, and it is gone.
    Dropped(String),
}

/// What a line of keys signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// The realm's identity tokens.
    Identity(RealmName),
    /// The principal told to upstreams: one line for the server.
    Principal,
}

impl Line {
    /// The realm column, and the purpose column. No realm's name begins with an underscore.
    fn columns(&self) -> (&str, &'static str) {
        match self {
            Self::Identity(realm) => (realm.as_str(), "identity"),
            Self::Principal => ("_principal", "principal"),
        }
    }

    fn kid(&self, inner: &Inner) -> String {
        let prefix = match self {
            Self::Identity(_) => "id",
            Self::Principal => "pr",
        };
        format!("{prefix}_{}", base62(inner.random.as_ref(), 16))
    }
}

/// Where in its life a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Published, and does not sign yet.
    Next,
    /// Signs.
    Active,
    /// Does not sign any more, and what it signed is still believed.
    Retired,
}

impl KeyState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }
}

/// A key that is not dropped.
#[derive(Debug)]
pub struct SigningKeyView {
    /// Where in its life it is.
    pub state: KeyState,
    /// Since when it is there.
    pub created_at: UnixMillis,
    /// When it took the step to where it is.
    pub changed_at: UnixMillis,
    /// Its public half, with its name and algorithm.
    pub public: VerifyingKey,
}

struct Stored {
    view: SigningKeyView,
    sealed: Vec<u8>,
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view.fmt(f)
    }
}

/// Reads a public key from its columns.
fn public(kid: &str, algorithm: &str, raw: &[u8]) -> Result<VerifyingKey, StoreError> {
    Algorithm::from_name(algorithm)
        .and_then(|algorithm| VerifyingKey::new(kid, algorithm, raw).ok())
        .ok_or(StoreError::Corrupt { what: "signing key" })
}

fn read(row: Row) -> Result<Stored, StoreError> {
    let mut columns = row.read();
    let (kid, algorithm) = (columns.text()?, columns.text()?);
    let state = match columns.text()?.as_str() {
        "next" => KeyState::Next,
        "active" => KeyState::Active,
        "retired" => KeyState::Retired,
        _ => return Err(StoreError::Corrupt { what: "signing key" }),
    };
    let created_at = columns.time()?;
    let changed_at = columns.maybe_time()?.unwrap_or(created_at);
    let public = public(&kid, &algorithm, &columns.blob()?)?;
    Ok(Stored { view: SigningKeyView { state, created_at, changed_at, public }, sealed: columns.blob()? })
}

/// The row's id, as the place of its private half.
fn row_id(line: &Line, kid: &str) -> String {
    let (realm, purpose) = line.columns();
    format!("{realm}/{purpose}/{kid}")
}

pub(super) fn place(id: &str) -> Place<'_> {
    Place { tenant: None, table: "signing_key", column: "sealed_key", id }
}

/// A key pair that no row holds yet.
struct Fresh {
    kid: String,
    sealed: Vec<u8>,
    public: Vec<u8>,
}

async fn generate(
    tx: &mut Tx<'_>,
    inner: &Inner,
    line: &Line,
    algorithm: Algorithm,
) -> Result<Fresh, StoreError> {
    let under = held_keys::encryption_key(tx, &inner.keyring).await?;
    let refused = |_| StoreError::unavailable("the crypto library made no key");
    let kid = line.kid(inner);
    let private = SigningKey::generate(algorithm).map_err(refused)?;
    let public = SigningKey::from_pkcs8(&kid, algorithm, &private)
        .and_then(|key| key.verifying_key())
        .map_err(refused)?;
    let sealed =
        inner.keyring.seal_under(&under, &place(&row_id(line, &kid)), &private, inner.random.as_ref())?;
    Ok(Fresh { sealed, public: public.raw().to_vec(), kid })
}

/// Adds a fresh key in this state. Gives its name.
async fn add(
    tx: &mut Tx<'_>,
    inner: &Inner,
    (line, algorithm): (&Line, Algorithm),
    state: KeyState,
) -> Result<String, StoreError> {
    let (realm, purpose) = line.columns();
    let fresh = generate(tx, inner, line, algorithm).await?;
    let now = tx.now().await?;
    let (name, state) = (algorithm.as_str(), state.as_str());
    let params = values![realm, purpose, &fresh.kid, name, fresh.sealed, fresh.public, state, now];
    tx.run(&SIGNING_ADD, params).await?;
    Ok(fresh.kid)
}

fn signer(keyring: &Keyring, line: &Line, stored: &Stored) -> Result<SigningKey, StoreError> {
    let (kid, algorithm) = (stored.view.public.kid(), stored.view.public.algorithm());
    keyring
        .open(&place(&row_id(line, kid)), &stored.sealed)
        .and_then(|private| SigningKey::from_pkcs8(kid, algorithm, &private).ok())
        .ok_or(StoreError::Corrupt { what: "signing key" })
}

impl SystemStore {
    /// Makes the line's first key, at once active, if it has no active one. Gives whether it had none.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn signing_key_ensure(&self, line: &Line, algorithm: Algorithm) -> Result<bool, StoreError> {
        let (line, inner) = (line.clone(), Arc::clone(&self.inner));
        let entry = self.entry(
            "SIGNING_KEY_CREATED",
            ("signing_key", String::new()),
            json!({ "line": line.columns().0 }),
        );
        self.write(async move |tx: &mut Tx<'_>| {
            let (realm, purpose) = line.columns();
            if tx.run_one(&SIGNING_IN_STATE, values![realm, purpose, "active"]).await?.is_some() {
                return Ok(false);
            }
            let fresh = generate(tx, &inner, &line, algorithm).await?;
            let now = tx.now().await?;
            let params =
                values![realm, purpose, &fresh.kid, algorithm.as_str(), fresh.sealed, fresh.public, now];
            let made = tx.run_one(&SIGNING_ADD_FIRST, params).await?.is_some();
            if made {
                entry.clone().about("signing_key", fresh.kid).write(tx).await?;
            }
            Ok(made)
        })
        .await
    }

    /// Makes and publishes the key that will sign next. Gives its name.
    ///
    /// # Errors
    /// If there is one already.
    pub async fn signing_key_next(&self, line: &Line, algorithm: Algorithm) -> Result<String, StoreError> {
        let (line, inner) = (line.clone(), Arc::clone(&self.inner));
        let entry = self.entry(
            "SIGNING_KEY_PUBLISHED",
            ("signing_key", String::new()),
            json!({ "line": line.columns().0 }),
        );
        self.write(async move |tx: &mut Tx<'_>| {
            let kid = add(tx, &inner, (&line, algorithm), KeyState::Next).await?;
            entry.clone().about("signing_key", kid.clone()).write(tx).await?;
            Ok(kid)
        })
        .await
    }

    /// Drops every key of the line at once, and lets a new one sign: what was signed so far is refused from now on. Gives the new one's name.
    ///
    /// # Errors
    /// If the store does not answer. Once the keys are dropped they are so, whether there is another one by then or not: servers make one
    /// when they find that there is none.
    pub async fn signing_key_replace(&self, line: &Line, algorithm: Algorithm) -> Result<String, StoreError> {
        let name = line.columns().0.to_owned();
        let entry =
            self.entry("SIGNING_KEYS_DROPPED", ("signing_key", String::new()), json!({ "line": name }));
        let dropped = line.clone();
        self.write(async move |tx: &mut Tx<'_>| {
            let (realm, purpose) = dropped.columns();
            let now = tx.now().await?;
            tx.run(&SIGNING_DROP_ALL, values![realm, purpose, now]).await?;
            entry.write(tx).await
        })
        .await?;
        self.signing_key_ensure(line, algorithm).await?;
        Ok(self.signing_key_signer(line).await?.kid().to_owned())
    }

    /// Has the line's keys take what steps are due, one after the other: the next is published before it signs, and the old one is believed
    /// until what it signed is over. Gives the steps that were taken.
    ///
    /// # Errors
    /// If the lease has ended, or the store does not answer.
    pub async fn signing_key_turns(
        &self,
        lease: &Lease,
        (line, algorithm): (&Line, Algorithm),
        schedule: Schedule,
    ) -> Result<Vec<Turn>, StoreError> {
        let (line, inner, lease) = (line.clone(), Arc::clone(&self.inner), lease.clone());
        let details = json!({ "line": line.columns().0, "by": "schedule" });
        let entry = |action| self.entry(action, ("signing_key", String::new()), details.clone());
        let (published, activated, dropped) =
            (entry("SIGNING_KEY_PUBLISHED"), entry("SIGNING_KEY_ACTIVATED"), entry("SIGNING_KEY_DROPPED"));
        self.write(async move |tx: &mut Tx<'_>| {
            lease.hold(tx).await?;
            let now = tx.now().await?;
            let (realm, purpose) = line.columns();
            let rows = tx.run(&SIGNING_LIST, values![realm, purpose]).await?;
            let keys = rows.into_iter().map(|row| read(row).map(|stored| stored.view));
            let keys = keys.collect::<Result<Vec<SigningKeyView>, _>>()?;
            let in_state = |state| keys.iter().find(move |key: &&SigningKeyView| key.state == state);
            let since = |key: &SigningKeyView, seconds: i64| key.changed_at.plus_seconds(seconds) <= now;
            let mut turns = Vec::new();
            let Some(active) = in_state(KeyState::Active) else { return Ok(turns) };
            let is_published_at = schedule.signs_seconds.saturating_sub(schedule.published_seconds);
            match in_state(KeyState::Next) {
                None if since(active, is_published_at) => {
                    let kid = add(tx, &inner, (&line, algorithm), KeyState::Next).await?;
                    published.clone().about("signing_key", kid.clone()).write(tx).await?;
                    turns.push(Turn::Next(kid));
                }
                Some(next)
                    if since(active, schedule.signs_seconds) && since(next, schedule.published_seconds) =>
                {
                    tx.run(&SIGNING_RETIRE, values![realm, purpose, now]).await?;
                    // Somebody may have taken the step, or the key, meanwhile: then nothing of this is done.
                    let row = tx.run_one(&SIGNING_ACTIVATE, values![realm, purpose, now]).await?;
                    row.ok_or(StoreError::NotFound { what: "next signing key" })?;
                    let kid = next.public.kid().to_owned();
                    activated.clone().about("signing_key", kid.clone()).write(tx).await?;
                    turns.push(Turn::Active(kid));
                }
                _ => {}
            }
            for retired in keys.iter().filter(|key| key.state == KeyState::Retired) {
                if since(retired, schedule.believed_seconds) {
                    let kid = retired.public.kid().to_owned();
                    tx.run(&SIGNING_DROP, values![realm, purpose, &kid]).await?;
                    dropped.clone().about("signing_key", kid.clone()).write(tx).await?;
                    turns.push(Turn::Dropped(kid));
                }
            }
            Ok(turns)
        })
        .await
    }

    /// Lets the next key sign, and retires the one that did. Gives the name of the key that signs.
    ///
    /// # Errors
    /// If there is no next key.
    pub async fn signing_key_activate(&self, line: &Line) -> Result<String, StoreError> {
        let line = line.clone();
        let entry = self.entry(
            "SIGNING_KEY_ACTIVATED",
            ("signing_key", String::new()),
            json!({ "line": line.columns().0 }),
        );
        self.write(async move |tx: &mut Tx<'_>| {
            let (realm, purpose) = line.columns();
            let now = tx.now().await?;
            tx.run(&SIGNING_RETIRE, values![realm, purpose, now]).await?;
            let row = tx.run_one(&SIGNING_ACTIVATE, values![realm, purpose, now]).await?;
            let kid = row.ok_or(StoreError::NotFound { what: "next signing key" })?.read().text()?;
            entry.clone().about("signing_key", kid.clone()).write(tx).await?;
            Ok(kid)
        })
        .await
    }

    /// Drops a retired or next key: what it signed is refused from now on, and its private half is gone.
    ///
    /// # Errors
    /// If there is none of the name, or it is the one that signs.
    pub async fn signing_key_drop(&self, line: &Line, kid: &str) -> Result<(), StoreError> {
        let (line, kid) = (line.clone(), kid.to_owned());
        let entry = self.entry(
            "SIGNING_KEY_DROPPED",
            ("signing_key", kid.clone()),
            json!({ "line": line.columns().0 }),
        );
        self.write(async move |tx: &mut Tx<'_>| {
            let (realm, purpose) = line.columns();
            let row = tx.run_one(&SIGNING_DROP, values![realm, purpose, &kid]).await?;
            row.ok_or(StoreError::NotFound { what: "signing key" })?;
            entry.write(tx).await
        })
        .await
    }

    /// The line's keys that are not dropped, the oldest first.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn signing_key_list(&self, line: &Line) -> Result<Vec<SigningKeyView>, StoreError> {
        let line = line.clone();
        self.read(async move |tx: &mut Tx<'_>| {
            let (realm, purpose) = line.columns();
            let rows = tx.run(&SIGNING_LIST, values![realm, purpose]).await?;
            rows.into_iter().map(|row| read(row).map(|stored| stored.view)).collect()
        })
        .await
    }

    /// The key that signs.
    ///
    /// # Errors
    /// If there is none, or the keyring does not open it.
    pub async fn signing_key_signer(&self, line: &Line) -> Result<SigningKey, StoreError> {
        let (line, inner) = (line.clone(), Arc::clone(&self.inner));
        self.read(async move |tx: &mut Tx<'_>| {
            let (realm, purpose) = line.columns();
            let row = tx.run_one(&SIGNING_IN_STATE, values![realm, purpose, "active"]).await?;
            let stored = read(row.ok_or(StoreError::NotFound { what: "signing key" })?)?;
            signer(&inner.keyring, &line, &stored)
        })
        .await
    }
}
