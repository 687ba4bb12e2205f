//! Members: an account with a role in one organization.

use claviger::clock::UnixMillis;
use claviger::directory::{MemberRecord, MemberState, State};
use claviger::id::{AccountId, OrgId, RoleName, TenantId};
use serde_json::json;

use crate::backend::Tx;
use crate::email::Email;
use crate::ends::{self, Ends, FLOOR, floor_after};
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::noun::{Feed, Index, Noun, Recorded, Rights, Rows, int, text, uuid};
use crate::page::{After, PAGE, limited};
use crate::parts::tenant_store::TenantStore;
use crate::people::accounts::{self, Wanted};
use crate::state;
use crate::statement::{Statement, statements};
use crate::tenancy::orgs;
use crate::tenancy::tenants;
use crate::value::{Columns, Row, Value, values};

/// The rows of memberships.
pub(crate) static MEMBER_ROWS: Noun = Noun {
    table: "member",
    about: "An account in an organization.",
    columns: &[
        uuid("tenant_id"),
        uuid("org_id"),
        uuid("account_id"),
        text("role"),
        text("state").is("IN ('invited', 'active', 'suspended', 'removed')"),
        int("created_at"),
        FLOOR[0],
        FLOOR[1],
        FLOOR[2],
    ],
    key: &["tenant_id", "org_id", "account_id"],
    references: &[
        (&["account_id"], "account (account_id)"),
        (&["tenant_id", "org_id"], "organization (tenant_id, org_id)"),
    ],
    indices: &[Index::Plain("member_by_account", "account_id")],
    tenant: Rights::CHANGE,
    jobs: Rights::SEE,
    feed: Feed::Tells { kind: "member", id: &["tenant_id", "org_id", "account_id"], only: None, since: 1 },
    fixed_but: None,
    grows_by: None,
};

impl Recorded for MemberRecord {
    type Name = (TenantId, OrgId, AccountId);

    const ROWS: Rows = Rows {
        noun: &MEMBER_ROWS,
        columns: "r.role, r.state, r.generation, r.tokens_from, r.credentials",
        with: "",
        only: "",
    };

    fn read(
        (tenant, org, account): &Self::Name,
        columns: &mut Columns,
        _: &Keyring,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            tenant: *tenant,
            org: *org,
            account: *account,
            role: columns.parse()?,
            state: columns.member_state()?,
            floor: ends::floor(columns)?,
        })
    }

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn is_of(&self, name: &Self::Name) -> bool {
        (self.tenant, self.org, self.account) == *name
    }

    fn agrees_with(&self, other: &Self) -> bool {
        self == other
    }
}

statements! { "membership";
    MEMBER_ADD: Tenant [Uuid, Uuid, Uuid, Text, Text, Int] grants
        "INSERT INTO member (tenant_id, org_id, account_id, role, state, created_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (tenant_id, org_id, account_id) DO UPDATE
             SET role = excluded.role, state = excluded.state, generation = member.generation + 1
             WHERE member.state = 'removed'
         RETURNING generation";
    MEMBER: Tenant [Uuid, Uuid, Uuid]
        "SELECT m.org_id, m.account_id, a.email, m.role, m.state, m.generation, m.created_at
         FROM member AS m JOIN account AS a ON a.account_id = m.account_id
         WHERE m.tenant_id = $1 AND m.org_id = $2 AND m.account_id = $3";
    MEMBER_BY_EMAIL: Tenant [Uuid, Uuid, Text]
        "SELECT m.org_id, m.account_id, a.email, m.role, m.state, m.generation, m.created_at
         FROM account AS a JOIN tenant AS t ON t.realm = a.realm
         JOIN member AS m ON m.tenant_id = t.tenant_id AND m.account_id = a.account_id
         WHERE t.tenant_id = $1 AND m.tenant_id = $1 AND m.org_id = $2 AND a.email_key = $3 AND m.state <> 'removed'";
    /// Keeps the membership as it is until the transaction ends; the one writer of the other engine does so by itself.
    MEMBER_HOLD: Tenant [Uuid, Uuid, Uuid]
        "SELECT generation FROM member WHERE tenant_id = $1 AND org_id = $2 AND account_id = $3"
        postgres "SELECT generation FROM member WHERE tenant_id = $1 AND org_id = $2 AND account_id = $3 FOR SHARE";
    MEMBER_PAGE: Tenant [Uuid, Uuid, Int, Uuid, Int]
        "SELECT m.org_id, m.account_id, a.email, m.role, m.state, m.generation, m.created_at
         FROM member AS m JOIN account AS a ON a.account_id = m.account_id
         WHERE m.tenant_id = $1 AND m.org_id = $2 AND m.state <> 'removed' AND (m.created_at, m.account_id) > ($3, $4)
         ORDER BY m.created_at, m.account_id LIMIT $5";
    MEMBER_ROLE: Tenant [Uuid, Uuid, Uuid, Text] grants
        "UPDATE member SET role = $4 WHERE tenant_id = $1 AND org_id = $2 AND account_id = $3 AND state <> 'removed'
         RETURNING generation";
    /// Of whoever has joined: an invitation is accepted or withdrawn, and no suspension makes a member of it.
    MEMBER_STATE: Tenant [Uuid, Uuid, Uuid, Text] withdraws
        "UPDATE member SET state = $4
         WHERE tenant_id = $1 AND org_id = $2 AND account_id = $3 AND state IN ('active', 'suspended') RETURNING generation";
    MEMBER_LET_IN: Tenant [Uuid, Uuid, Uuid] grants
        "UPDATE member SET state = 'active' WHERE tenant_id = $1 AND org_id = $2 AND account_id = $3 AND state = 'invited'
         RETURNING generation";
    /// As [`MEMBER_ROLE`], where the new role allows nothing that the old one, `$5`, did not.
    MEMBER_ROLE_LESS: Tenant [Uuid, Uuid, Uuid, Text, Text] withdraws
        "UPDATE member SET role = $4
         WHERE tenant_id = $1 AND org_id = $2 AND account_id = $3 AND role = $5 AND state <> 'removed' RETURNING generation";
    /// Holds the row, so that the time taken after it is not before what happens meanwhile.
    MEMBER_HOLD_ALONE: Tenant [Uuid, Uuid, Uuid]
        "SELECT generation FROM member WHERE tenant_id = $1 AND org_id = $2 AND account_id = $3 AND state <> 'removed'"
        postgres "SELECT generation FROM member
         WHERE tenant_id = $1 AND org_id = $2 AND account_id = $3 AND state <> 'removed' FOR UPDATE";
    MEMBER_END_ALL: Tenant [Uuid, Uuid, Uuid, Int, Int] withdraws
        "UPDATE member SET generation = generation + 1, credentials = credentials + $5,
             tokens_from = CASE WHEN tokens_from > $4 THEN tokens_from ELSE $4 END
         WHERE tenant_id = $1 AND org_id = $2 AND account_id = $3 AND state <> 'removed' RETURNING generation";
    /// Its floor stays with the row: what was issued before does not come back with the member.
    MEMBER_REMOVE: Tenant [Uuid, Uuid, Uuid, Int] withdraws
        "UPDATE member SET state = 'removed', tokens_from = CASE WHEN tokens_from > $4 THEN tokens_from ELSE $4 END
         WHERE tenant_id = $1 AND org_id = $2 AND account_id = $3 AND state <> 'removed' RETURNING generation";
    /// How many others of the organization act in which role.
    MEMBERS_BESIDE: Tenant [Uuid, Uuid, Uuid]
        "SELECT m.role, CAST(count(*) AS bigint) FROM member AS m JOIN account AS a ON a.account_id = m.account_id
         WHERE m.tenant_id = $1 AND m.org_id = $2 AND m.account_id <> $3 AND m.state = 'active' AND a.state = 'active'
         GROUP BY m.role";
    MEMBER_SECRETS_REVOKE: Tenant [Uuid, Uuid, Uuid] withdraws
        "UPDATE user_secret SET revoked = 1 WHERE tenant_id = $1 AND org_id = $2 AND account_id = $3 AND revoked = 0";
}

/// A membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// The organization.
    pub org: OrgId,
    /// The account.
    pub account: AccountId,
    /// Its address.
    pub email: String,
    /// Its role there.
    pub role: RoleName,
    /// Whether it may act there.
    pub state: MemberState,
    /// Sessions made under a lower number are ended.
    pub generation: i64,
    /// Since when it is a member.
    pub created_at: UnixMillis,
}

impl From<&MemberView> for After {
    fn from(last: &MemberView) -> Self {
        Self { created_at: last.created_at, id: *last.account.as_bytes() }
    }
}

fn read(row: Row) -> Result<MemberView, StoreError> {
    let mut columns = row.read();
    Ok(MemberView {
        org: columns.parse()?,
        account: columns.parse()?,
        email: columns.text()?,
        role: columns.parse()?,
        state: columns.member_state()?,
        generation: columns.int()?,
        created_at: columns.time()?,
    })
}

pub(crate) async fn view(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    org: OrgId,
    account: AccountId,
) -> Result<MemberView, StoreError> {
    let row = tx.run_one(&MEMBER, values![tenant, org, account]).await?;
    read(row.ok_or(StoreError::NotFound { what: "membership" })?)
}

/// Adds an active membership.
pub(crate) async fn add(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    org: OrgId,
    account: AccountId,
    role: &RoleName,
    now: UnixMillis,
) -> Result<(), StoreError> {
    add_in_state(tx, (tenant, org, account), role, MemberState::Active, now).await
}

/// Adds a membership in this state.
pub(crate) async fn add_in_state(
    tx: &mut Tx<'_>,
    (tenant, org, account): (TenantId, OrgId, AccountId),
    role: &RoleName,
    state: MemberState,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let params = values![tenant, org, account, role.as_str(), state::member_text(state), now];
    let row = tx.run_one(&MEMBER_ADD, params).await?;
    row.ok_or(StoreError::AlreadyExists { what: "membership" })?;
    // A member who comes back starts without secrets.
    tx.run(&MEMBER_SECRETS_REVOKE, values![tenant, org, account]).await.map(drop)
}

impl TenantStore {
    /// Makes the account of that address a member. The realm's account is made if there is none. Whoever was
    /// removed comes back under a new generation, so that no session of before works again. An account that somebody made who said
    /// that the address is theirs, and has not proved it, is invited only, unless it is a member of the tenant already.
    ///
    /// # Errors
    /// If it is a member there, the organization is not there, or `state` is `Removed`.
    pub async fn member_add(
        &self,
        org: OrgId,
        email: &Email,
        role: &RoleName,
        state: MemberState,
    ) -> Result<MemberView, StoreError> {
        if state == MemberState::Removed {
            return Err(StoreError::Invalid("nobody is added as a removed member".into()));
        }
        let (tenant, fresh) = (self.tenant, AccountId::generate(self.inner.random.as_ref()));
        let (email, role) = (email.clone(), role.clone());
        let entry_as = |state| {
            let (state, organization) = (state::member_text(state), org.to_string());
            let details = json!({ "role": role, "state": state, "organization": organization });
            self.entry("USER_INVITED", ("organization", org.to_string()), details)
        };
        let (as_asked, as_invited) = (entry_as(state), entry_as(MemberState::Invited));
        self.write(async move |tx: &mut Tx<'_>| {
            let realm = tenants::view(tx, tenant).await?.realm;
            orgs::not_deleted(tx, tenant, org).await?;
            let wanted = Wanted::of_another(fresh, realm, email.clone());
            let found = accounts::ensure(tx, &wanted).await?;
            let account = found.account;
            let is_known = !found.may_be_anothers()
                || tx.run_one(&tenants::MEMBER_SOMEWHERE, values![tenant, account]).await?.is_some();
            let (state, entry) =
                if is_known { (state, &as_asked) } else { (MemberState::Invited, &as_invited) };
            let now = tx.now().await?;
            add_in_state(tx, (tenant, org, account), &role, state, now).await?;
            entry.clone().about("member", account.to_string()).write(tx).await?;
            view(tx, tenant, org, account).await
        })
        .await
    }

    /// At most `limit` ([`PAGE`]) members of the organization, the oldest first, after `after`. Whoever was removed is left out.
    ///
    /// # Errors
    /// If there is no such organization.
    pub async fn member_page(
        &self,
        org: OrgId,
        after: Option<After>,
        limit: u16,
    ) -> Result<Vec<MemberView>, StoreError> {
        let tenant = self.tenant;
        let (at, id) = After::parameters(after);
        self.read(async move |tx: &mut Tx<'_>| {
            orgs::view(tx, tenant, org).await?;
            let rows = tx.run(&MEMBER_PAGE, values![tenant, org, at, id.clone(), limited(limit)]).await?;
            rows.into_iter().map(read).collect()
        })
        .await
    }

    /// The members of the organization, the oldest first: page by page, so that nobody waits for a long list. Whoever was
    /// removed is left out.
    ///
    /// # Errors
    /// If there is no such organization.
    pub async fn member_list(&self, org: OrgId) -> Result<Vec<MemberView>, StoreError> {
        let mut all: Vec<MemberView> = Vec::new();
        loop {
            let page = self.member_page(org, all.last().map(After::from), PAGE).await?;
            let is_last = page.len() < usize::from(PAGE);
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// One membership.
    ///
    /// # Errors
    /// If there is none.
    pub async fn member_view(&self, org: OrgId, account: AccountId) -> Result<MemberView, StoreError> {
        let tenant = self.tenant;
        self.read(async move |tx: &mut Tx<'_>| view(tx, tenant, org, account).await).await
    }

    /// The member of that address, removed ones apart.
    ///
    /// # Errors
    /// If there is none.
    pub async fn member_find(&self, org: OrgId, email: &Email) -> Result<MemberView, StoreError> {
        let (tenant, email) = (self.tenant, email.clone());
        self.read(async move |tx: &mut Tx<'_>| {
            let row = tx.run_one(&MEMBER_BY_EMAIL, values![tenant, org, email.key()]).await?;
            read(row.ok_or(StoreError::NotFound { what: "membership" })?)
        })
        .await
    }

    /// Gives a member another role.
    ///
    /// # Errors
    /// If there is no such membership.
    pub async fn member_update_role(
        &self,
        org: OrgId,
        account: AccountId,
        new: NewRole,
    ) -> Result<(), StoreError> {
        let tenant = self.tenant;
        let details = json!({ "organization": org.to_string(), "to": new.to });
        let entry = self.entry("USER_ROLE_UPDATED", ("member", account.to_string()), details);
        self.write(async move |tx: &mut Tx<'_>| {
            let held = tx.run_one(&MEMBER_HOLD_ALONE, values![tenant, org, account]).await?;
            held.ok_or(StoreError::NotFound { what: "membership" })?;
            let before = view(tx, tenant, org, account).await?.role;
            set_role(tx, (tenant, org, account), &before, &new).await?;
            entry.write(tx).await
        })
        .await
    }

    /// Lets somebody act who is invited, in their place.
    ///
    /// # Errors
    /// If nobody of that account is invited.
    pub async fn member_let_in(&self, org: OrgId, account: AccountId) -> Result<(), StoreError> {
        let change = Change { action: "USER_JOINED", statement: &MEMBER_LET_IN, value: None };
        self.member_change(org, account, change).await.map(drop)
    }

    /// Lets a member who was suspended act.
    ///
    /// # Errors
    /// If there is no such membership, or they are invited.
    pub async fn member_resume(&self, org: OrgId, account: AccountId) -> Result<(), StoreError> {
        let state = Some(state::member_text(MemberState::Active).to_owned());
        let change = Change { action: "USER_RESUMED", statement: &MEMBER_STATE, value: state };
        self.member_change(org, account, change).await.map(drop)
    }

    /// Lets a member not act until it is resumed.
    ///
    /// # Errors
    /// If there is no such membership, or they are invited: that is withdrawn.
    pub async fn member_suspend(&self, org: OrgId, account: AccountId) -> Result<(), StoreError> {
        let state = Some(state::member_text(MemberState::Suspended).to_owned());
        let change = Change { action: "USER_SUSPENDED", statement: &MEMBER_STATE, value: state };
        self.member_change(org, account, change).await.map(drop)
    }

    /// Ends a membership, and with it the member's user secrets in the organization and the tokens of foreign issuers for
    /// it: none of them comes back with the member.
    ///
    /// # Errors
    /// If there is no such membership.
    pub async fn member_remove(&self, org: OrgId, account: AccountId) -> Result<(), StoreError> {
        let tenant = self.tenant;
        let entry = self.entry(
            "USER_REMOVED",
            ("member", account.to_string()),
            json!({ "organization": org.to_string() }),
        );
        self.write(async move |tx: &mut Tx<'_>| {
            let held = tx.run_one(&MEMBER_HOLD_ALONE, values![tenant, org, account]).await?;
            held.ok_or(StoreError::NotFound { what: "membership" })?;
            let floor = floor_after(tx.now().await?);
            tx.run(&MEMBER_REMOVE, values![tenant, org, account, floor]).await?;
            tx.run(&MEMBER_SECRETS_REVOKE, values![tenant, org, account]).await?;
            entry.write(tx).await
        })
        .await
    }

    /// Ends all that the member holds in the organization: see [`Ends`]. Gives the new generation. API keys are the
    /// organization's and no member's.
    ///
    /// # Errors
    /// If there is no such membership.
    pub async fn member_revoke(&self, org: OrgId, account: AccountId, ends: Ends) -> Result<i64, StoreError> {
        let tenant = self.tenant;
        let details = json!({ "organization": org.to_string(), "credentials": ends == Ends::Everything });
        let entry = self.entry("USER_TOKENS_REVOKED", ("member", account.to_string()), details);
        self.write(async move |tx: &mut Tx<'_>| {
            let held = tx.run_one(&MEMBER_HOLD_ALONE, values![tenant, org, account]).await?;
            held.ok_or(StoreError::NotFound { what: "membership" })?;
            let floor = floor_after(tx.now().await?);
            let params = values![tenant, org, account, floor, ends.credentials()];
            let row = tx.run_one(&MEMBER_END_ALL, params).await?;
            entry.write(tx).await?;
            row.ok_or(StoreError::NotFound { what: "membership" })?.read().int()
        })
        .await
    }

    /// Changes a membership as members of the organization themselves do it: unless nobody would be left who manages, or it is one that
    /// whoever does it may not touch. Gives the membership as it is then.
    ///
    /// # Errors
    /// If there is no such membership, [`LAST_MANAGER`] or [`BEYOND`].
    pub async fn member_manage(
        &self,
        org: OrgId,
        account: AccountId,
        managed: Managed,
        Manager { managing, touchable }: Manager,
    ) -> Result<MemberView, StoreError> {
        let tenant = self.tenant;
        let (action, to) = match &managed {
            Managed::Role(role) => ("USER_ROLE_UPDATED", Some(role.to.to_string())),
            Managed::Suspend => ("USER_SUSPENDED", Some("suspended".to_owned())),
            Managed::Resume => ("USER_RESUMED", Some("active".to_owned())),
            Managed::Remove => ("USER_REMOVED", None),
        };
        let details = json!({ "organization": org.to_string(), "to": to });
        let entry = self.entry(action, ("member", account.to_string()), details);
        self.write(async move |tx: &mut Tx<'_>| {
            // One at a time in an organization: of two managers who take each other out, one stays.
            orgs::hold(tx, tenant, org).await?;
            let held = tx.run_one(&MEMBER_HOLD_ALONE, values![tenant, org, account]).await?;
            held.ok_or(StoreError::NotFound { what: "membership" })?;
            let before = view(tx, tenant, org, account).await?;
            let may_touch = |role: &RoleName| {
                touchable.as_ref().is_none_or(|all| all.iter().any(|one| one.matches(role.as_str())))
            };
            if !may_touch(&before.role) {
                return Err(StoreError::Refused { why: BEYOND });
            }
            let manages = |role: &RoleName| managing.iter().any(|one| one.matches(role.as_str()));
            let stays = match &managed {
                Managed::Role(role) => manages(&role.to),
                Managed::Resume => true,
                Managed::Suspend | Managed::Remove => false,
            };
            if before.state == MemberState::Active && manages(&before.role) && !stays {
                let mut is_last = true;
                for row in tx.run(&MEMBERS_BESIDE, values![tenant, org, account]).await? {
                    is_last &= !manages(&row.read().parse()?);
                }
                if is_last {
                    return Err(StoreError::Refused { why: LAST_MANAGER });
                }
            }
            match &managed {
                // Whoever was asked in says yes themselves, and is not let in by being suspended first.
                Managed::Resume | Managed::Suspend if before.state == MemberState::Invited => {
                    return Err(StoreError::Refused { why: NOT_JOINED });
                }
                Managed::Role(role) => set_role(tx, (tenant, org, account), &before.role, role).await?,
                Managed::Suspend => {
                    tx.run(&MEMBER_STATE, values![tenant, org, account, "suspended"]).await?;
                }
                Managed::Resume => {
                    tx.run(&MEMBER_STATE, values![tenant, org, account, "active"]).await?;
                }
                Managed::Remove => {
                    let floor = floor_after(tx.now().await?);
                    tx.run(&MEMBER_REMOVE, values![tenant, org, account, floor]).await?;
                    tx.run(&MEMBER_SECRETS_REVOKE, values![tenant, org, account]).await?;
                }
            }
            entry.write(tx).await?;
            view(tx, tenant, org, account).await
        })
        .await
    }

    async fn member_change(&self, org: OrgId, account: AccountId, change: Change) -> Result<i64, StoreError> {
        let tenant = self.tenant;
        let details = json!({ "organization": org.to_string(), "to": change.value });
        let entry = self.entry(change.action, ("member", account.to_string()), details);
        self.write(async move |tx: &mut Tx<'_>| {
            let mut params: Vec<Value> = vec![tenant.into(), org.into(), account.into()];
            params.extend(change.value.as_deref().map(Value::from));
            let Some(row) = tx.run_one(change.statement, &params).await? else {
                return Err(match view(tx, tenant, org, account).await?.state {
                    MemberState::Invited => StoreError::Refused { why: NOT_JOINED },
                    _ => StoreError::NotFound { what: "membership" },
                });
            };
            entry.write(tx).await?;
            row.read().int()
        })
        .await
    }
}

/// Why a membership stays as it is: somebody has to be left who can let others in.
pub const LAST_MANAGER: &str = "nobody would be left who manages the members of the organization";
/// Why a membership does not become active.
pub const NOT_JOINED: &str = "they are invited, and have not said yes";

/// Why a membership stays as it is: whoever has it may do more than whoever would change it.
pub const BEYOND: &str = "their role allows more than that of whoever asks";

/// How far somebody manages who is a member themselves.
#[derive(Debug, Clone)]
pub struct Manager {
    /// The roles that manage, of which one acts at least.
    pub managing: Vec<RoleName>,
    /// The roles whose holders they may touch; `None` is all of them.
    pub touchable: Option<Vec<RoleName>>,
}

/// Another role for a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRole {
    /// The role.
    pub to: RoleName,
    /// The roles that allow all that it does: from one of these it is less, or the same.
    pub within: Vec<RoleName>,
}

/// Gives a member another role. What takes something away outlives a failover, and is done whatever clocks say.
async fn set_role(
    tx: &mut Tx<'_>,
    (tenant, org, account): (TenantId, OrgId, AccountId),
    before: &RoleName,
    new: &NewRole,
) -> Result<(), StoreError> {
    let is_less = new.within.iter().any(|role| role.matches(before.as_str()));
    let row = match is_less {
        true => {
            let row = values![tenant, org, account, new.to.as_str(), before.as_str()];
            tx.run_one(&MEMBER_ROLE_LESS, row).await?
        }
        false => tx.run_one(&MEMBER_ROLE, values![tenant, org, account, new.to.as_str()]).await?,
    };
    row.map(drop).ok_or(StoreError::NotFound { what: "membership" })
}

/// What members of an organization do to each other's memberships.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Managed {
    /// Another role.
    Role(NewRole),
    /// May not act for now.
    Suspend,
    /// May act again.
    Resume,
    /// Is no member any more.
    Remove,
}

/// A change of one membership: what the audit calls it, and what it sets.
struct Change {
    action: &'static str,
    statement: &'static Statement,
    value: Option<String>,
}

/// Whether somebody may be given a credential there now.
pub(crate) fn may_act(member: &MemberView, org: State, tenant: State) -> bool {
    member.state == MemberState::Active && org == State::Active && tenant == State::Active
}
