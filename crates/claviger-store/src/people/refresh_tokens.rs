//! Refresh tokens: opaque, for one use each, one at a time for each session (RFC 9700, section 4.14; decision 14).
//!
//! The next token follows from the one that is shown, so that a client whose answer was lost gets the same successor when it asks
//! again. Whoever shows an older one has had it from somebody else, or somebody else from them: the session ends. Each token has a seal
//! of ours, so that one that was made up ends nobody's session and costs no look-up. A row is written at each use and in no feed, as no
//! decision reads it.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::clock::UnixMillis;
use claviger::directory::{MemberState, SessionRecord, State};
use claviger::id::{AccountId, OrgId, RoleName, SessionId, TenantId};
use claviger::secret::Secret;
use serde_json::json;

use crate::actor::Actor;
use crate::audit::entry::Entry;
use crate::backend::{Bound, Tx};
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::noun::{Feed, Noun, Rights, blob, int, truth, uuid};
use crate::parts::accounts::Accounts;
use crate::parts::inner::Inner;
use crate::people::sessions::{self, SESSION_END};
use crate::statement::statements;
use crate::value::values;

/// What a refresh token begins with.
pub const TOKEN_PREFIX: &str = "rt_";
/// How long a token that was used gives the same successor again, while that one is unused, in seconds.
pub const GRACE_SECONDS: i64 = 20;

/// The rows of refresh tokens.
pub(crate) static REFRESH_TOKEN_ROWS: Noun = Noun {
    table: "refresh_token",
    about: "The refresh token of a session: digests of the good one and of the one before. `direct` began with a password.",
    columns: &[
        uuid("tenant_id"),
        uuid("session_id"),
        blob("digest"),
        blob("used_digest").optional(),
        int("sequence").or("1"),
        int("used_at").optional(),
        truth("direct"),
        int("created_at"),
    ],
    key: &["tenant_id", "session_id"],
    references: &[(&["tenant_id", "session_id"], "session (tenant_id, session_id)")],
    indices: &[],
    tenant: Rights::CHANGE,
    jobs: Rights::NONE,
    feed: Feed::Silent,
    fixed_but: None,
    grows_by: None,
};

statements! { "refresh token";
    REFRESH_ADD: Tenant [Uuid, Uuid, Blob, Int, Int] grants
        "INSERT INTO refresh_token (tenant_id, session_id, digest, direct, created_at) VALUES ($1, $2, $3, $4, $5)";
    /// Holds the row: of many who show one token at once, the first uses it, and the others get what it got.
    REFRESH_HELD: Tenant [Uuid, Uuid]
        "SELECT digest, used_digest, sequence, used_at, direct FROM refresh_token WHERE tenant_id = $1 AND session_id = $2"
        postgres "SELECT digest, used_digest, sequence, used_at, direct FROM refresh_token
         WHERE tenant_id = $1 AND session_id = $2 FOR UPDATE";
    REFRESH_USE: Tenant [Uuid, Uuid, Blob, Blob, Int] grants
        "UPDATE refresh_token SET digest = $3, used_digest = $4, used_at = $5, sequence = sequence + 1
         WHERE tenant_id = $1 AND session_id = $2";
    /// What the session hangs on, and the session, if it goes on at `$3`: no generation has grown since it was made.
    REFRESH_STANDING: Tenant [Uuid, Uuid, Int]
        "SELECT m.role, m.state, t.state, o.state, a.state, s.tenant_id, s.session_id, s.org_id, s.account_id, s.ended, s.expires_at,
             s.tenant_generation, s.org_generation, s.account_generation, s.member_generation
         FROM session AS s
         JOIN tenant AS t ON t.tenant_id = s.tenant_id AND t.generation = s.tenant_generation
         JOIN organization AS o ON o.tenant_id = s.tenant_id AND o.org_id = s.org_id AND o.generation = s.org_generation
         JOIN account AS a ON a.account_id = s.account_id AND a.generation = s.account_generation
         JOIN member AS m ON m.tenant_id = s.tenant_id AND m.org_id = s.org_id AND m.account_id = s.account_id
             AND m.generation = s.member_generation
         WHERE s.tenant_id = $1 AND s.session_id = $2 AND s.ended = 0 AND s.expires_at > $3";
}

/// Whether a token that was used `at` may be shown once more: also where the clock was set back meanwhile, and no longer because it was.
fn is_within_grace(at: UnixMillis, now: UnixMillis) -> bool {
    now < at.plus_seconds(GRACE_SECONDS) && at < now.plus_seconds(GRACE_SECONDS)
}

/// A refresh token that somebody shows: unproven.
#[derive(Debug)]
pub struct Shown<'t> {
    tenant: TenantId,
    session: SessionId,
    value: [u8; 16],
    seal: [u8; 16],
    text: &'t str,
}

impl<'t> Shown<'t> {
    /// Reads one; `None` if the text does not even look like one.
    pub fn read(text: &'t str) -> Option<Self> {
        let bytes = zeroize::Zeroizing::new(URL_SAFE_NO_PAD.decode(text.strip_prefix(TOKEN_PREFIX)?).ok()?);
        let bytes: &[u8; 64] = bytes.as_slice().try_into().ok()?;
        let (tenant, rest) = bytes.split_first_chunk::<16>()?;
        let (session, rest) = rest.split_first_chunk::<16>()?;
        let (value, seal) = rest.split_first_chunk::<16>()?;
        let (value, seal) = (*value, seal.try_into().ok()?);
        let session = SessionId::from_bytes(*session)?;
        Some(Self { tenant: TenantId::from_bytes(*tenant)?, session, value, seal, text })
    }

    /// The session that it names.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The tenant that it names.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }
}

/// What tokens are made with.
#[derive(Clone)]
struct Keys {
    seal: Arc<hmac::Key>,
    next: Arc<hmac::Key>,
}

impl Keys {
    fn of(keyring: &Keyring) -> Self {
        Self { seal: keyring.mac_key("refresh-token-seal"), next: keyring.mac_key("refresh-token-next") }
    }

    fn sealed(&self, tenant: TenantId, session: SessionId, value: [u8; 16]) -> [u8; 16] {
        half(&self.seal, &[tenant.as_bytes(), session.as_bytes(), &value])
    }

    /// Whether it was made here for that session, whenever.
    fn have_made(&self, shown: &Shown<'_>) -> bool {
        let seal = self.sealed(shown.tenant, shown.session, shown.value);
        aws_lc_rs::constant_time::verify_slices_are_equal(&seal, &shown.seal).is_ok()
    }

    /// The text of a token: which session's, what nobody can guess, and our seal.
    fn token(&self, tenant: TenantId, session: SessionId, value: [u8; 16]) -> Secret {
        let seal = self.sealed(tenant, session, value);
        let parts = [tenant.as_bytes().as_slice(), session.as_bytes(), &value, &seal];
        let bytes = zeroize::Zeroizing::new(parts.concat());
        Secret::new(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(&*bytes)).into_bytes())
    }

    /// The successor of a token: the same whenever it is asked for, and nobody's to know who lacks the key.
    fn successor(&self, tenant: TenantId, session: SessionId, sequence: i64, shown: &str) -> Secret {
        let sequence = sequence.to_be_bytes();
        let value = half(&self.next, &[tenant.as_bytes(), session.as_bytes(), &sequence, shown.as_bytes()]);
        self.token(tenant, session, value)
    }
}

/// The first half of a MAC over these parts, all but the last of which have a fixed length.
fn half(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 16] {
    let mut context = hmac::Context::with_key(key);
    parts.iter().for_each(|part| context.update(part));
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(context.sign().as_ref()) {
        *to = *from;
    }
    bytes
}

fn digest_of(text: &[u8]) -> Vec<u8> {
    digest(&SHA256, text).as_ref().to_vec()
}

/// A session with the token that prolongs it.
#[derive(Debug)]
pub struct Session {
    /// The session.
    pub session: SessionRecord,
    /// The member's role at this moment.
    pub role: RoleName,
    /// The token, to be shown this once, or once more within its grace.
    pub refresh_token: Secret,
    /// Whether it began with a password, and may be followed by one elsewhere.
    pub is_direct: bool,
}

/// How a session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// How long it goes on, however often it is prolonged, in seconds.
    pub lifetime_seconds: i64,
    /// Whether somebody has proved to be that person just now, and may go on elsewhere with it.
    pub is_direct: bool,
    /// How it came about, for the audit: `sign-in`, `switch` and so on.
    pub how: &'static str,
    /// Under which generation of the account that was proved, if it was: where it has grown since, none begins.
    pub proven_under: Option<i64>,
}

/// A session about to begin: all of it that no store has to be asked for.
pub(crate) struct Starting {
    session: SessionId,
    value: [u8; 16],
    keys: Keys,
    inner: std::sync::Arc<Inner>,
    actor: Actor,
}

impl Starting {
    /// Begins it in somebody's transaction, which is bound to the tenant.
    pub(crate) async fn start(
        &self,
        tx: &mut Tx<'_>,
        (tenant, org, account): (TenantId, OrgId, AccountId),
        Begin { lifetime_seconds, is_direct, how, proven_under }: Begin,
    ) -> Result<Session, StoreError> {
        let session = self.session;
        let refresh_token = self.keys.token(tenant, session, self.value);
        let digest = digest_of(refresh_token.expose());
        let details = json!({ "organization": org.to_string(), "account": account.to_string(), "by": how });
        let entity = ("session", session.to_string());
        let entry = Entry::new(&self.inner, Some(tenant), &self.actor, "SESSION_CREATED", entity, &details);
        let now = tx.now().await?;
        let times = (now, now.plus_seconds(lifetime_seconds));
        let record = sessions::add(tx, (tenant, session, org, account), times, proven_under).await?;
        tx.run(&REFRESH_ADD, values![tenant, session, digest.as_slice(), is_direct, now]).await?;
        let standing = tx.run_one(&REFRESH_STANDING, values![tenant, session, now]).await?;
        let role = standing.ok_or(StoreError::NotFound { what: "membership" })?.read().parse()?;
        entry.write(tx).await?;
        Ok(Session { session: record, role, refresh_token, is_direct })
    }
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotRefreshed {
    /// It is nobody's, or its session has ended, or it was used before: in which case the session has ended now.
    Unknown,
    /// Member, organization, tenant or account are suspended, or the member has not accepted: later, maybe.
    NotActive,
}

/// Whether all that a session hangs on may act: `None` if one of it is gone.
fn is_active(member: MemberState, others: [State; 3]) -> Option<bool> {
    if member == MemberState::Removed || others.contains(&State::Deleted) {
        return None;
    }
    Some(member == MemberState::Active && others.iter().all(|state| *state == State::Active))
}

impl Accounts {
    /// Whether the token was made here, whenever, for the session that it names: asks nobody.
    pub fn has_made(&self, shown: &Shown<'_>) -> bool {
        Keys::of(&self.inner.keyring).have_made(shown)
    }

    /// A session about to begin, with a refresh token.
    pub(crate) fn starting(&self) -> Starting {
        let session = SessionId::generate(self.inner.random.as_ref());
        let mut value = [0; 16];
        self.inner.random.fill(&mut value);
        let (keys, inner) = (Keys::of(&self.inner.keyring), self.inner.clone());
        Starting { session, value, keys, inner, actor: self.actor.clone() }
    }

    /// Begins a session of the account in the organization, with a refresh token.
    ///
    /// # Errors
    /// If the account is no member there, its generation has grown since it was proven, or something of it is deleted.
    pub async fn session_begin(
        &self,
        tenant: TenantId,
        org: OrgId,
        account: AccountId,
        begin: Begin,
    ) -> Result<Session, StoreError> {
        let starting = self.starting();
        let work = async move |tx: &mut Tx<'_>| starting.start(tx, (tenant, org, account), begin).await;
        self.write_in(Bound::Tenant(tenant), work).await
    }

    /// Uses a refresh token: gives its session with the next one, or with the same next one again within its grace. A token that was used
    /// before that ends the session. Whoever goes on elsewhere, `towards` there, needs a session that began with a password, and it stands
    /// in the audit of the tenant that they come from.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn session_refresh(
        &self,
        shown: &Shown<'_>,
        towards: Option<(TenantId, OrgId)>,
    ) -> Result<Result<Session, NotRefreshed>, StoreError> {
        let keys = Keys::of(&self.inner.keyring);
        if !keys.have_made(shown) {
            return Ok(Err(NotRefreshed::Unknown));
        }
        let (tenant, session, text) =
            (shown.tenant, shown.session, Secret::new(shown.text.as_bytes().to_vec()));
        let shown_digest = digest_of(shown.text.as_bytes());
        let entity = ("session", session.to_string());
        let reused = json!({ "why": "a refresh token was used a second time" });
        let entry =
            Entry::new(&self.inner, Some(tenant), &self.actor, "SESSION_ENDED", entity.clone(), &reused);
        let switched = towards.map(|(to, org)| {
            let details = json!({ "to_tenant": to.to_string(), "to_organization": org.to_string() });
            Entry::new(&self.inner, Some(tenant), &self.actor, "SESSION_SWITCHED", entity, &details)
        });
        let work = async move |tx: &mut Tx<'_>| {
            let Some(row) = tx.run_one(&REFRESH_HELD, values![tenant, session]).await? else {
                return Ok(Err(NotRefreshed::Unknown));
            };
            let mut columns = row.read();
            let (good, used, sequence) = (columns.blob()?, columns.maybe_blob()?, columns.int()?);
            let (used_at, is_direct) = (columns.maybe_time()?, columns.truth()?);
            let now = tx.now().await?;
            let shown = text.expose_text().unwrap_or_default();
            let is_good = good == shown_digest;
            let is_used = used.as_deref() == Some(&shown_digest);
            let in_grace = is_used && used_at.is_some_and(|at| is_within_grace(at, now));
            if !is_good && !in_grace {
                // It was this session's once: two have it.
                if let Some(row) = tx.run_one(&SESSION_END, values![tenant, session]).await? {
                    entry.within(row.read().parse()?).write(tx).await?;
                }
                return Ok(Err(NotRefreshed::Unknown));
            }
            let Some(standing) = tx.run_one(&REFRESH_STANDING, values![tenant, session, now]).await? else {
                return Ok(Err(NotRefreshed::Unknown));
            };
            let mut columns = standing.read();
            let role = columns.parse()?;
            let member = columns.member_state()?;
            let others =
                [columns.state("tenant")?, columns.state("organization")?, columns.state("account")?];
            let record = sessions::read(&mut columns)?;
            match is_active(member, others) {
                None => return Ok(Err(NotRefreshed::Unknown)),
                Some(false) => return Ok(Err(NotRefreshed::NotActive)),
                // Nor goes on elsewhere who shows a token once more: two may have it, and each would have a session there.
                Some(true) if switched.is_some() && !(is_direct && is_good) => {
                    return Ok(Err(NotRefreshed::NotActive));
                }
                Some(true) => {}
            }
            if let Some(switched) = &switched {
                switched.within(record.org).write(tx).await?;
            }
            let sequence = if is_good { sequence + 1 } else { sequence };
            let next = keys.successor(tenant, session, sequence, shown);
            if is_good {
                let digest = digest_of(next.expose());
                let row = values![tenant, session, digest.as_slice(), shown_digest.as_slice(), now];
                tx.run(&REFRESH_USE, row).await?;
            }
            Ok(Ok(Session { session: record, role, refresh_token: next, is_direct }))
        };
        self.write_in(Bound::Tenant(tenant), work).await
    }

    /// Ends the session of a refresh token, if it is the good one or the one before. Gives whether it was.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn session_end_by(&self, shown: &Shown<'_>) -> Result<bool, StoreError> {
        if !Keys::of(&self.inner.keyring).have_made(shown) {
            return Ok(false);
        }
        let (tenant, session, digest) = (shown.tenant, shown.session, digest_of(shown.text.as_bytes()));
        let entity = ("session", session.to_string());
        let entry = Entry::new(&self.inner, Some(tenant), &self.actor, "SESSION_ENDED", entity, &json!({}));
        let work = async move |tx: &mut Tx<'_>| {
            let Some(row) = tx.run_one(&REFRESH_HELD, values![tenant, session]).await? else {
                return Ok(false);
            };
            let mut columns = row.read();
            if columns.blob()? != digest && columns.maybe_blob()?.as_ref() != Some(&digest) {
                return Ok(false);
            }
            if let Some(row) = tx.run_one(&SESSION_END, values![tenant, session]).await? {
                entry.within(row.read().parse()?).write(tx).await?;
            }
            Ok(true)
        };
        self.write_in(Bound::Tenant(tenant), work).await
    }
}
