//! Invitations that were mailed: whoever has the secret of one reads what is sent to the address, and may say yes. Only its digest is
//! kept, and it is nothing without a membership that waits for it: whoever takes that away withdraws it.

use aws_lc_rs::digest::{SHA256, digest};
use claviger::directory::MemberState;
use claviger::id::{AccountId, OrgId, RoleName, TenantId};
use claviger::secret::Secret;
use serde_json::json;

use super::accounts::{self, Wanted};
use super::members::{self, MemberView};
use super::outbox::{self, Letter};
use super::refresh_tokens::{Begin, Session};
use super::sealed_text;
use crate::audit::entry::Entry;
use crate::backend::{Bound, Mode, Tx};
use crate::email::Email;
use crate::error::StoreError;
use crate::noun::{Feed, Index, Noun, Rights, blob, int, uuid};
use crate::parts::accounts::Accounts;
use crate::parts::tenant_store::TenantStore;
use crate::statement::statements;
use crate::tenancy::{orgs, tenants};
use crate::value::values;

/// How long somebody may think about it, in seconds.
pub const LIFETIME_SECONDS: i64 = 7 * 24 * 60 * 60;
/// What the secret of one begins with.
pub const TOKEN_PREFIX: &str = "iv_";

/// The rows of invitations.
pub(crate) static INVITATION_ROWS: Noun = Noun {
    table: "invitation",
    about: "An invitation that was mailed, by the digest of its secret.",
    columns: &[
        uuid("tenant_id"),
        uuid("org_id"),
        uuid("account_id"),
        blob("digest"),
        int("expires_at"),
        int("created_at"),
    ],
    key: &["tenant_id", "org_id", "account_id"],
    references: &[(&["tenant_id", "org_id", "account_id"], "member (tenant_id, org_id, account_id)")],
    indices: &[Index::UniqueNamed("invitation_by_digest", "tenant_id, digest", None)],
    tenant: Rights { delete: true, ..Rights::CHANGE },
    jobs: Rights::NONE,
    feed: Feed::Silent,
    fixed_but: None,
    grows_by: None,
};

statements! { "invitation";
    /// One that is sent again is another one.
    INVITATION_ADD: Tenant [Uuid, Uuid, Uuid, Blob, Int, Int] grants
        "INSERT INTO invitation (tenant_id, org_id, account_id, digest, expires_at, created_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (tenant_id, org_id, account_id) DO UPDATE
             SET digest = excluded.digest, expires_at = excluded.expires_at, created_at = excluded.created_at";
    /// Of an invitation that goes on: the membership waits, nothing that it hangs on is deleted, and the account has no other address by
    /// now than the one that it was mailed to.
    INVITATION: Tenant [Uuid, Blob, Int]
        "SELECT i.org_id, i.account_id FROM invitation AS i
         JOIN member AS m ON m.tenant_id = i.tenant_id AND m.org_id = i.org_id AND m.account_id = i.account_id
         JOIN organization AS o ON o.tenant_id = i.tenant_id AND o.org_id = i.org_id
         JOIN tenant AS t ON t.tenant_id = i.tenant_id
         JOIN account AS a ON a.account_id = i.account_id
         WHERE i.tenant_id = $1 AND i.digest = $2 AND i.expires_at > $3 AND i.created_at > coalesce(a.email_since, 0) AND m.state = 'invited' AND o.state = 'active'
             AND t.state = 'active'";
    /// Of many who say yes at once, the first does.
    INVITATION_TAKE: Tenant [Uuid, Blob, Int]
        "DELETE FROM invitation WHERE tenant_id = $1 AND digest = $2 AND expires_at > $3 RETURNING org_id, account_id";
    INVITATION_END: Tenant [Uuid, Uuid, Uuid] withdraws
        "DELETE FROM invitation WHERE tenant_id = $1 AND org_id = $2 AND account_id = $3";
    INVITATION_ACCEPT: Tenant [Uuid, Uuid, Uuid] grants
        "UPDATE member SET state = 'active' WHERE tenant_id = $1 AND org_id = $2 AND account_id = $3 AND state = 'invited'
         RETURNING generation";
    /// Holds the row until it is changed.
    ROLE_INVITED: Tenant [Uuid, Uuid, Uuid]
        "SELECT role FROM member WHERE tenant_id = $1 AND org_id = $2 AND account_id = $3 AND state = 'invited'"
        postgres "SELECT role FROM member WHERE tenant_id = $1 AND org_id = $2 AND account_id = $3 AND state = 'invited' FOR UPDATE";
    MEMBER_STILL_INVITED: Tenant [Uuid, Uuid, Uuid, Text] grants
        "UPDATE member SET role = $4 WHERE tenant_id = $1 AND org_id = $2 AND account_id = $3 AND state = 'invited'
         RETURNING generation";
}

/// The secret of an invitation that is to be mailed.
pub struct NewInvitation {
    secret: Secret,
}

impl std::fmt::Debug for NewInvitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewInvitation(..)")
    }
}

impl NewInvitation {
    /// The secret, for the mail alone.
    pub fn expose_text(&self) -> &str {
        self.secret.expose_text().unwrap_or_default()
    }
}

/// Somebody who is invited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invited {
    /// Into which tenant.
    pub tenant: TenantId,
    /// Into which organization.
    pub org: OrgId,
    /// Who.
    pub account: AccountId,
}

fn digest_of(text: &str) -> Vec<u8> {
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}

impl TenantStore {
    /// A secret for an invitation into this tenant.
    pub fn invitation(&self) -> NewInvitation {
        let mut value = [0; 32];
        self.inner.random.fill(&mut value);
        let value = [self.tenant.as_bytes().as_slice(), &value].concat();
        NewInvitation {
            secret: sealed_text::made(&self.inner.keyring, "invitation-seal", TOKEN_PREFIX, &value),
        }
    }

    /// Invites the account of that address, which is made if there is none: a member who may not act before they have said yes. With a
    /// mail that the secret of an invitation is in, if it can be sent. Whoever is invited already is so again, with this role, and the
    /// invitation of before is withdrawn; `over` are the roles that they may have been invited in so far, if that is bound.
    ///
    /// # Errors
    /// If they are a member there, the organization is not there, or [`BEYOND`](members::BEYOND).
    pub async fn member_invite(
        &self,
        org: OrgId,
        email: &Email,
        (role, over): (&RoleName, Option<Vec<RoleName>>),
        mailed: Option<(NewInvitation, Letter)>,
    ) -> Result<MemberView, StoreError> {
        let (tenant, fresh) = (self.tenant, AccountId::generate(self.inner.random.as_ref()));
        let (email, role, inner) = (email.clone(), role.clone(), self.inner.clone());
        let details = json!({ "role": role, "organization": org.to_string(), "state": "invited" });
        let entry = self.entry("USER_INVITED", ("organization", org.to_string()), details);
        let mailed = mailed.map(|(invitation, letter)| (digest_of(invitation.expose_text()), letter));
        self.write(async move |tx: &mut Tx<'_>| {
            let realm = tenants::view(tx, tenant).await?.realm;
            orgs::not_deleted(tx, tenant, org).await?;
            let wanted = Wanted::of_another(fresh, realm, email.clone());
            let account = accounts::ensure(tx, &wanted).await?.account;
            let now = tx.now().await?;
            if let Some(over) = &over
                && let Some(row) = tx.run_one(&ROLE_INVITED, values![tenant, org, account]).await?
            {
                let before = row.read().text()?;
                if !over.iter().any(|role| role.matches(&before)) {
                    return Err(StoreError::Refused { why: members::BEYOND });
                }
            }
            let again = values![tenant, org, account, role.as_str()];
            if tx.run_one(&MEMBER_STILL_INVITED, again).await?.is_none() {
                members::add_in_state(tx, (tenant, org, account), &role, MemberState::Invited, now).await?;
            }
            // One of before is worth nothing, whether another one goes out or not.
            tx.run(&INVITATION_END, values![tenant, org, account]).await?;
            if let Some((digest, letter)) = &mailed {
                let ends = now.plus_seconds(LIFETIME_SECONDS);
                tx.run(&INVITATION_ADD, values![tenant, org, account, digest.as_slice(), ends, now]).await?;
                outbox::post(tx, &inner, outbox::fresh(&inner), letter).await?;
            }
            entry.clone().about("member", account.to_string()).write(tx).await?;
            members::view(tx, tenant, org, account).await
        })
        .await
    }
}

impl Accounts {
    /// The tenant that an invitation's secret names, if it was made here: asks nobody.
    fn invited_into(&self, secret: &str) -> Option<TenantId> {
        let value = sealed_text::read(&self.inner.keyring, "invitation-seal", TOKEN_PREFIX, secret)?;
        TenantId::from_bytes(*value.first_chunk()?)
    }

    /// Who is invited by this secret, while the invitation goes on.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn invitation_view(&self, secret: &str) -> Result<Option<Invited>, StoreError> {
        let Some(tenant) = self.invited_into(secret) else { return Ok(None) };
        let shown = digest_of(secret);
        let work = async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            let row = tx.run_one(&INVITATION, values![tenant, shown.as_slice(), now]).await?;
            let read = |row: crate::value::Row| {
                let mut columns = row.read();
                Ok(Invited { tenant, org: columns.parse()?, account: columns.parse()? })
            };
            row.map(read).transpose()
        };
        self.inner.run(Bound::Tenant(tenant), Mode::Read, work).await
    }

    /// Says yes: the membership is active from now on, and a session begins there. The invitation is used up. `None` if it is nobody's
    /// any more, or the account's generation has grown since it was proven.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn invitation_accept(&self, secret: &str, begin: Begin) -> Result<Option<Session>, StoreError> {
        let Some(tenant) = self.invited_into(secret) else { return Ok(None) };
        let (shown, inner, actor) = (digest_of(secret), self.inner.clone(), self.actor.clone());
        let starting = self.starting();
        let work = async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            let Some(row) = tx.run_one(&INVITATION, values![tenant, shown.as_slice(), now]).await? else {
                return Ok(None);
            };
            let mut columns = row.read();
            let (org, account): (OrgId, AccountId) = (columns.parse()?, columns.parse()?);
            // The membership first, as whoever invites anew holds it first.
            if tx.run_one(&INVITATION_ACCEPT, values![tenant, org, account]).await?.is_none() {
                return Ok(None);
            }
            let taken = tx.run_one(&INVITATION_TAKE, values![tenant, shown.as_slice(), now]).await?;
            taken.ok_or(StoreError::NotFound { what: "invitation" })?;
            let details = json!({ "organization": org.to_string() });
            let entity = ("member", account.to_string());
            Entry::new(&inner, Some(tenant), &actor, "USER_JOINED", entity, &details).write(tx).await?;
            starting.start(tx, (tenant, org, account), begin).await.map(Some)
        };
        match self.write_in(Bound::Tenant(tenant), work).await {
            Err(StoreError::NotFound { .. }) => Ok(None),
            session => session,
        }
    }
}
