//! People: an account belongs to a realm, and is a member of organizations in any of the realm's tenants.

use claviger::clock::UnixMillis;
use claviger::directory::{AccountRecord, MemberState, State};
use claviger::id::{AccountId, OrgId, RealmName, RoleName, TenantId};
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
use crate::state;
use crate::statement::{Statement, statements};
use crate::value::{self, Row, Value, values};

/// The rows of accounts.
pub(crate) static ACCOUNT_ROWS: Noun = Noun {
    table: "account",
    about: "A person. `email_key` is the address folded for comparison; who is `self_registered` gave it themselves. `email_since` is when it took the place of another one.",
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
        int("email_since").optional(),
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
            "email_since",
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

fn read(row: Row) -> Result<AccountView, StoreError> {
    read_columns(&mut row.read())
}

pub(super) fn read_columns(columns: &mut value::Columns) -> Result<AccountView, StoreError> {
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

    pub(super) fn entry(&self, action: &'static str, account: AccountId) -> Entry {
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
