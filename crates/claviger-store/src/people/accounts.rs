//! People: an account belongs to a realm, and is a member of organizations in any of the realm's tenants.

use claviger::clock::UnixMillis;
use claviger::directory::{AccountRecord, MemberState, State};
use claviger::id::{AccountId, OrgId, RealmName, RoleName, SessionId, TenantId};
use claviger::secret::Secret;
use serde_json::json;

use crate::audit::entry::Entry;
use crate::backend::{Bound, Tx};
use crate::email::Email;
use crate::ends::{self, Ends, FLOOR, floor_after};
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::noun::{Columns, Feed, Index, Noun, Recorded, Rights, Rows, STATE, int, text, truth, uuid};
use crate::parts::accounts::Accounts;
use crate::people::outbox::{self, Letter};
use crate::people::sessions;
use crate::state;
use crate::statement::{Statement, statements};
use crate::value::{self, Row, Value, values};

/// The rows of accounts.
pub(crate) static ACCOUNT_ROWS: Noun = Noun {
    table: "account",
    about: "A person. `email_key` is the address folded for comparison; who is `self_registered` gave it themselves.",
    columns: &[
        uuid("account_id"),
        text("realm"),
        text("email"),
        text("email_key"),
        text("password_hash").optional(),
        STATE,
        truth("email_verified"),
        int("created_at"),
        FLOOR[0],
        FLOOR[1],
        FLOOR[2],
        truth("self_registered"),
    ],
    key: &["account_id"],
    references: &[(&["realm"], "realm (name)")],
    indices: &[Index::Unique("realm, email_key")],
    // A tenant's transaction finds and makes accounts. It never sees a password again, and changes no account.
    tenant: Rights {
        select: Columns::These(&[
            "account_id",
            "realm",
            "email",
            "email_key",
            "state",
            "email_verified",
            "generation",
            "credentials",
            "created_at",
            "self_registered",
        ]),
        insert: Columns::These(&[
            "account_id",
            "realm",
            "email",
            "email_key",
            "password_hash",
            "created_at",
            "self_registered",
            "email_verified",
        ]),
        ..Rights::NONE
    },
    jobs: Rights::CHANGE,
    feed: Feed::Tells { kind: "account", id: &["account_id"], only: None, since: 1 },
    fixed_but: None,
    grows_by: None,
};

impl Recorded for AccountRecord {
    type Name = (AccountId,);

    const ROWS: Rows = Rows {
        noun: &ACCOUNT_ROWS,
        columns: "r.realm, r.state, r.email_verified, r.generation, r.tokens_from, r.credentials",
        with: "",
        only: "",
    };

    fn read((account,): &Self::Name, columns: &mut value::Columns, _: &Keyring) -> Result<Self, StoreError> {
        Ok(Self {
            account: *account,
            realm: columns.parse()?,
            state: columns.state("account")?,
            email_verified: columns.truth()?,
            floor: ends::floor(columns)?,
        })
    }

    fn tenant(&self) -> Option<TenantId> {
        None
    }

    fn is_of(&self, (account,): &Self::Name) -> bool {
        self.account == *account
    }

    fn agrees_with(&self, other: &Self) -> bool {
        self == other
    }
}

statements! { "account";
    ACCOUNT_ENSURE: Shared [Uuid, Text, Text, Text, Text, Int, Int, Int]
        "INSERT INTO account (account_id, realm, email, email_key, password_hash, self_registered, email_verified, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (realm, email_key) DO NOTHING";
    ACCOUNT_BY_EMAIL: Shared [Text, Text]
        "SELECT account_id, realm, email, state, email_verified, self_registered, generation, created_at FROM account
         WHERE realm = $1 AND email_key = $2";
    ACCOUNT: System [Uuid]
        "SELECT account_id, realm, email, state, email_verified, self_registered, generation, created_at FROM account
         WHERE account_id = $1";
    /// As [`ACCOUNT_BY_EMAIL`], with the hash: one look-up, so that an account takes no longer than none.
    ACCOUNT_SIGNS_IN: System [Text, Text]
        "SELECT account_id, realm, email, state, email_verified, self_registered, generation, created_at, password_hash
         FROM account WHERE realm = $1 AND email_key = $2";
    ACCOUNT_PASSWORD: System [Uuid]
        "SELECT account_id, realm, email, state, email_verified, self_registered, generation, created_at, password_hash
         FROM account WHERE account_id = $1";
    /// There is no password any more, and every session of before is over, and what else hangs on `$3` and `$4` (see [`Ends`]). Only while
    /// the account's number is `$2`, if that is said: what was looked at under another one is not what there is.
    ACCOUNT_VOID: System [Uuid, Int, Int, Int] withdraws
        "UPDATE account SET password_hash = NULL, generation = generation + 1, credentials = credentials + $3,
             tokens_from = CASE WHEN tokens_from > $4 THEN tokens_from ELSE $4 END
         WHERE account_id = $1 AND generation = coalesce($2, generation) AND state <> 'deleted' RETURNING generation";
    /// After [`ACCOUNT_VOID`], in its transaction: done again after a failover it would bring an old password back.
    ACCOUNT_SET_PASSWORD: System [Uuid, Text] "UPDATE account SET password_hash = $2 WHERE account_id = $1";
    /// Links for another password that were mailed before (`proofs.rs`).
    PASSWORD_PROOFS_END: System [Uuid] withdraws "DELETE FROM proof WHERE account_id = $1 AND purpose = 'reset'";
    ACCOUNT_STATE: System [Uuid, Text] withdraws
        "UPDATE account SET state = $2 WHERE account_id = $1 AND state <> 'deleted' RETURNING generation";
    ACCOUNT_VERIFY: System [Uuid]
        "UPDATE account SET email_verified = 1 WHERE account_id = $1 AND state <> 'deleted' RETURNING generation";
    /// Holds the row, so that the time taken after it is not before what happens meanwhile.
    ACCOUNT_HOLD: System [Uuid] "SELECT generation FROM account WHERE account_id = $1"
        postgres "SELECT generation FROM account WHERE account_id = $1 FOR UPDATE";
    ACCOUNT_END_ALL: System [Uuid, Int, Int] withdraws
        "UPDATE account SET generation = generation + 1, credentials = credentials + $3,
             tokens_from = CASE WHEN tokens_from > $2 THEN tokens_from ELSE $2 END
         WHERE account_id = $1 RETURNING generation";
    MEMBERSHIPS: System [Uuid]
        "SELECT m.tenant_id, m.org_id, m.role, m.state, t.name, t.state, t.requires_direct_sign_in, t.owner_id, o.name, o.state
         FROM member AS m
         JOIN tenant AS t ON t.tenant_id = m.tenant_id
         JOIN organization AS o ON o.tenant_id = m.tenant_id AND o.org_id = m.org_id
         WHERE m.account_id = $1 AND m.state <> 'removed' AND t.state <> 'deleted' AND o.state <> 'deleted'
         ORDER BY m.created_at, m.tenant_id, m.org_id";
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountView {
    /// Its id.
    pub account: AccountId,
    /// The realm it belongs to.
    pub realm: RealmName,
    /// Its address, as it was given.
    pub email: String,
    /// Whether it may act.
    pub state: State,
    /// Whether the address was proved.
    pub email_verified: bool,
    /// Whether whoever made the account said that the address is theirs, and nobody else did.
    pub self_registered: bool,
    /// Sessions made under a lower number are ended.
    pub generation: i64,
    /// Since when it is there.
    pub created_at: UnixMillis,
}

/// Where an account is a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The tenant.
    pub tenant: TenantId,
    /// The organization.
    pub org: OrgId,
    /// The account's role there.
    pub role: RoleName,
    /// Whether it may act there.
    pub state: MemberState,
    /// What the tenant is called.
    pub tenant_name: String,
    /// Whether the tenant may act.
    pub tenant_state: State,
    /// Whether people come in there by signing in there, and not by switching from another tenant.
    pub requires_direct_sign_in: bool,
    /// Whose the tenant is.
    pub tenant_owner: Option<AccountId>,
    /// What the organization is called.
    pub org_name: String,
    /// Whether the organization may act.
    pub org_state: State,
}

impl AccountView {
    /// Whether somebody else than whoever has the address may have made it: then nothing is given to it because of the address.
    pub fn may_be_anothers(&self) -> bool {
        self.self_registered && !self.email_verified
    }
}

/// An account, and what its password is known by.
#[derive(Debug, Clone)]
pub struct SigningIn {
    /// The account.
    pub account: AccountView,
    /// The hash of its password, if it has one.
    pub password_hash: Option<Secret>,
}

fn read_signing_in(row: Row) -> Result<SigningIn, StoreError> {
    let mut columns = row.read();
    Ok(SigningIn { account: read_columns(&mut columns)?, password_hash: columns.secret_text()? })
}

fn read(row: Row) -> Result<AccountView, StoreError> {
    read_columns(&mut row.read())
}

fn read_columns(columns: &mut value::Columns) -> Result<AccountView, StoreError> {
    Ok(AccountView {
        account: columns.parse()?,
        realm: columns.parse()?,
        email: columns.text()?,
        state: columns.state("account")?,
        email_verified: columns.truth()?,
        self_registered: columns.truth()?,
        generation: columns.int()?,
        created_at: columns.time()?,
    })
}

/// An account that may have to be made, and what it is made of.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The id it gets if there is none.
    pub(crate) fresh: AccountId,
    pub(crate) realm: RealmName,
    pub(crate) email: Email,
    pub(crate) password_hash: Option<Secret>,
    /// Whether whoever says that the address is theirs makes it.
    pub(crate) self_registered: bool,
    /// Whether it is.
    pub(crate) email_verified: bool,
}

impl Wanted {
    /// That of somebody whom another one names by their address.
    pub(crate) fn of_another(fresh: AccountId, realm: RealmName, email: Email) -> Self {
        Self { fresh, realm, email, password_hash: None, self_registered: false, email_verified: false }
    }
}

/// One account, whose row is held until the transaction ends.
pub(crate) async fn held(tx: &mut Tx<'_>, account: AccountId) -> Result<AccountView, StoreError> {
    tx.run_one(&ACCOUNT_HOLD, values![account]).await?;
    let row = tx.run_one(&ACCOUNT, values![account]).await?;
    let found = read(row.ok_or(StoreError::NotFound { what: "account" })?)?;
    match found.state {
        State::Deleted => Err(StoreError::NotFound { what: "account" }),
        State::Active | State::Suspended => Ok(found),
    }
}

/// The account's address is proven.
pub(crate) async fn verify(tx: &mut Tx<'_>, account: AccountId) -> Result<AccountView, StoreError> {
    tx.run(&ACCOUNT_VERIFY, values![account]).await?;
    held(tx, account).await
}

/// Another password, or none, and what ends with the one before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Renewed<'p> {
    /// The password's hash.
    pub(crate) password_hash: Option<&'p str>,
    /// The account's generation while it was looked at, if it has to be the same.
    pub(crate) under: Option<i64>,
    /// Whether somebody else may have had the account: then nothing that they made in its name goes on.
    pub(crate) from_another: bool,
}

/// Gives the account another password, and ends every session of before. Gives its generation now; `None` if it was another one than it had
/// to be.
pub(crate) async fn renew(
    tx: &mut Tx<'_>,
    account: AccountId,
    renewed: Renewed<'_>,
) -> Result<Option<i64>, StoreError> {
    let Renewed { password_hash, under, from_another } = renewed;
    tx.run_one(&ACCOUNT_HOLD, values![account]).await?;
    let floor = if from_another { floor_after(tx.now().await?) } else { UnixMillis(0) };
    let row = tx.run_one(&ACCOUNT_VOID, values![account, under, i64::from(from_another), floor]).await?;
    let Some(row) = row else { return Ok(None) };
    if let Some(hash) = password_hash {
        tx.run(&ACCOUNT_SET_PASSWORD, values![account, hash]).await?;
    }
    row.read().int().map(Some)
}

/// The realm's account of the wanted address, made if there is none.
pub(crate) async fn ensure(tx: &mut Tx<'_>, wanted: &Wanted) -> Result<AccountView, StoreError> {
    let (realm, email) = (wanted.realm.as_str(), &wanted.email);
    let hash = wanted.password_hash.as_ref().and_then(Secret::expose_text);
    let now = tx.now().await?;
    let (self_registered, proven) = (wanted.self_registered, wanted.email_verified);
    let row = values![wanted.fresh, realm, email.as_str(), email.key(), hash, self_registered, proven, now];
    tx.run(&ACCOUNT_ENSURE, row).await?;
    let row = tx.run_one(&ACCOUNT_BY_EMAIL, values![realm, email.key()]).await?;
    let found = read(row.ok_or(StoreError::NotFound { what: "account" })?)?;
    if found.state == State::Deleted {
        return Err(StoreError::NotFound { what: "account" });
    }
    Ok(found)
}

impl Accounts {
    /// Makes an account. `password_hash` is a PHC string, or nothing for one that cannot sign in by password.
    ///
    /// # Errors
    /// If the realm has one of that address, or does not exist.
    pub async fn account_create(
        &self,
        realm: &RealmName,
        email: &Email,
        password_hash: Option<Secret>,
    ) -> Result<AccountView, StoreError> {
        let fresh = AccountId::generate(self.inner.random.as_ref());
        let entry = self.entry("ACCOUNT_CREATED", fresh);
        let (realm, email) = (realm.clone(), email.clone());
        let wanted = Wanted { password_hash, ..Wanted::of_another(fresh, realm, email) };
        let work = async move |tx: &mut Tx<'_>| {
            if ensure(tx, &wanted).await?.account != fresh {
                return Err(StoreError::AlreadyExists { what: "account" });
            }
            entry.write(tx).await?;
            read(
                tx.run_one(&ACCOUNT, values![fresh])
                    .await?
                    .ok_or(StoreError::NotFound { what: "account" })?,
            )
        };
        self.write_in(Bound::System("accounts"), work).await
    }

    /// The realm's account of that address.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn account_find(
        &self,
        realm: &RealmName,
        email: &Email,
    ) -> Result<Option<AccountView>, StoreError> {
        let (realm, email) = (realm.clone(), email.clone());
        self.read(async move |tx: &mut Tx<'_>| {
            tx.run_one(&ACCOUNT_BY_EMAIL, values![realm.as_str(), email.key()]).await?.map(read).transpose()
        })
        .await
    }

    /// One account.
    ///
    /// # Errors
    /// If there is none.
    pub async fn account_view(&self, account: AccountId) -> Result<AccountView, StoreError> {
        self.read(async move |tx: &mut Tx<'_>| {
            read(
                tx.run_one(&ACCOUNT, values![account])
                    .await?
                    .ok_or(StoreError::NotFound { what: "account" })?,
            )
        })
        .await
    }

    /// The realm's account of that address with the hash of its password, in as many look-ups as it takes to find that there is none.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn account_signing_in(
        &self,
        realm: &RealmName,
        email: &Email,
    ) -> Result<Option<SigningIn>, StoreError> {
        let (realm, email) = (realm.clone(), email.clone());
        self.read(async move |tx: &mut Tx<'_>| {
            let row = tx.run_one(&ACCOUNT_SIGNS_IN, values![realm.as_str(), email.key()]).await?;
            row.map(read_signing_in).transpose()
        })
        .await
    }

    /// The account with the hash of its password.
    ///
    /// # Errors
    /// If there is no such account.
    pub async fn account_password(&self, account: AccountId) -> Result<SigningIn, StoreError> {
        self.read(async move |tx: &mut Tx<'_>| {
            let row = tx.run_one(&ACCOUNT_PASSWORD, values![account]).await?;
            read_signing_in(row.ok_or(StoreError::NotFound { what: "account" })?)
        })
        .await
    }

    /// Gives the account another password, as a PHC string, and ends all its sessions everywhere, in one transaction; `staying` begins
    /// anew under the number that holds now. `notice` is mailed. Only while the account's generation is `under`, if that is said. A sign-in that has compared the old password, and is about to begin a session, begins none.
    ///
    /// # Errors
    /// If there is no such account.
    pub async fn account_set_password(
        &self,
        account: AccountId,
        (password_hash, under): (Secret, Option<i64>),
        staying: Option<(TenantId, SessionId)>,
        notice: Option<Letter>,
    ) -> Result<(), StoreError> {
        let hash = password_hash.expose_text().map(str::to_owned);
        let hash = hash.ok_or_else(|| StoreError::Invalid("a password's hash must be text".into()))?;
        let (entry, inner) = (self.entry("ACCOUNT_PASSWORD_CHANGED", account), self.inner.clone());
        let work = async move |tx: &mut Tx<'_>| {
            let renewed = Renewed { password_hash: Some(&hash), under, from_another: false };
            let now_under = renew(tx, account, renewed).await?;
            let now_under = now_under.ok_or(StoreError::NotFound { what: "account" })?;
            tx.run(&PASSWORD_PROOFS_END, values![account]).await?;
            entry.write(tx).await?;
            if let Some(notice) = &notice {
                outbox::post(tx, &inner, outbox::fresh(&inner), notice).await?;
            }
            Ok(now_under)
        };
        let now_under = self.write_in(Bound::System("accounts"), work).await?;
        if let Some((tenant, session)) = staying {
            // The password is changed; at worst whoever did it signs in with it.
            let stayed = sessions::stay(self, (tenant, session), now_under).await;
            drop(stayed);
        }
        Ok(())
    }

    /// Notes that the account's address was proven by somebody who sets this password now, and ends its sessions; only while its generation
    /// is `under`. What somebody else may have made in its name ends too.
    ///
    /// # Errors
    /// If there is no such account, or its generation is another one.
    pub async fn account_prove(
        &self,
        account: AccountId,
        password_hash: Secret,
        under: i64,
    ) -> Result<AccountView, StoreError> {
        let entry = self.entry("ACCOUNT_PASSWORD_CHANGED", account);
        let work = async move |tx: &mut Tx<'_>| {
            let before = held(tx, account).await?;
            let password_hash = password_hash.expose_text();
            let renewed =
                Renewed { password_hash, under: Some(under), from_another: before.may_be_anothers() };
            renew(tx, account, renewed).await?.ok_or(StoreError::NotFound { what: "account" })?;
            entry.write(tx).await?;
            verify(tx, account).await
        };
        self.write_in(Bound::System("accounts"), work).await
    }

    /// Notes that the account's address was proved.
    ///
    /// # Errors
    /// If there is no such account.
    pub async fn account_verify_email(&self, account: AccountId) -> Result<(), StoreError> {
        self.change(account, "ACCOUNT_EMAIL_VERIFIED", &ACCOUNT_VERIFY, None).await.map(drop)
    }

    /// Lets the account act nowhere until it is resumed.
    ///
    /// # Errors
    /// If there is no such account.
    pub async fn account_suspend(&self, account: AccountId) -> Result<(), StoreError> {
        let state = Some(state::text(State::Suspended).to_owned());
        self.change(account, "ACCOUNT_SUSPENDED", &ACCOUNT_STATE, state).await.map(drop)
    }

    /// Ends a suspension.
    ///
    /// # Errors
    /// If there is no such account.
    pub async fn account_resume(&self, account: AccountId) -> Result<(), StoreError> {
        let state = Some(state::text(State::Active).to_owned());
        self.change(account, "ACCOUNT_RESUMED", &ACCOUNT_STATE, state).await.map(drop)
    }

    /// Ends all that the account holds, in every tenant: see [`Ends`]. Gives the new generation.
    ///
    /// # Errors
    /// If there is no such account.
    pub async fn account_revoke(&self, account: AccountId, ends: Ends) -> Result<i64, StoreError> {
        let entity = ("account", account.to_string());
        let entry =
            Entry::new(&self.inner, None, &self.actor, "ACCOUNT_TOKENS_REVOKED", entity, &ends.details());
        let work = async move |tx: &mut Tx<'_>| {
            let held = tx.run_one(&ACCOUNT_HOLD, values![account]).await?;
            held.ok_or(StoreError::NotFound { what: "account" })?;
            let floor = floor_after(tx.now().await?);
            let row = tx.run_one(&ACCOUNT_END_ALL, values![account, floor, ends.credentials()]).await?;
            entry.write(tx).await?;
            row.ok_or(StoreError::NotFound { what: "account" })?.read().int()
        };
        self.write_in(Bound::System("accounts"), work).await
    }

    /// Where the account is a member, the oldest membership first. What is deleted or removed is left out.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn memberships(&self, account: AccountId) -> Result<Vec<Membership>, StoreError> {
        self.read(async move |tx: &mut Tx<'_>| {
            let rows = tx.run(&MEMBERSHIPS, values![account]).await?;
            rows.into_iter()
                .map(|row| {
                    let mut columns = row.read();
                    Ok(Membership {
                        tenant: columns.parse()?,
                        org: columns.parse()?,
                        role: columns.parse()?,
                        state: columns.member_state()?,
                        tenant_name: columns.text()?,
                        tenant_state: columns.state("tenant")?,
                        requires_direct_sign_in: columns.truth()?,
                        tenant_owner: columns.maybe_parse()?,
                        org_name: columns.text()?,
                        org_state: columns.state("organization")?,
                    })
                })
                .collect()
        })
        .await
    }

    fn entry(&self, action: &'static str, account: AccountId) -> Entry {
        Entry::new(&self.inner, None, &self.actor, action, ("account", account.to_string()), &json!({}))
    }

    async fn change(
        &self,
        account: AccountId,
        action: &'static str,
        statement: &'static Statement,
        value: Option<String>,
    ) -> Result<i64, StoreError> {
        let entry = self.entry(action, account);
        let work = async move |tx: &mut Tx<'_>| {
            let mut params: Vec<Value> = vec![account.into()];
            params.extend(value.as_deref().map(Value::from));
            let row =
                tx.run_one(statement, &params).await?.ok_or(StoreError::NotFound { what: "account" })?;
            entry.write(tx).await?;
            row.read().int()
        };
        self.write_in(Bound::System("accounts"), work).await
    }
}
