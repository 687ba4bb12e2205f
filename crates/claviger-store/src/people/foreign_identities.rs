//! Who a foreign issuer's subject is here, within one tenant. Linked by issuer and subject, never by e-mail.

use std::sync::Arc;

use claviger::clock::UnixMillis;
use claviger::directory::ForeignIdentityRecord;
use claviger::id::{AccountId, TenantId};
use serde_json::json;

use crate::backend::Tx;
use crate::ends::floor_after;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::noun::{Feed, Index, Noun, Recorded, Rights, Rows, int, text, uuid};
use crate::parts::tenant_store::TenantStore;
use crate::statement::statements;
use crate::value::{Columns, values};

/// The rows of links.
pub(crate) static FOREIGN_IDENTITY_ROWS: Noun = Noun {
    table: "foreign_identity",
    about: "A foreign issuer's subject, and whom it stands for in the tenant.",
    columns: &[
        uuid("tenant_id"),
        text("issuer"),
        text("subject"),
        uuid("account_id"),
        int("linked").or("1").is("IN (0, 1)"),
        int("not_before").or("0"),
        int("created_at"),
    ],
    key: &["tenant_id", "issuer", "subject"],
    references: &[(&["tenant_id"], "tenant (tenant_id)"), (&["account_id"], "account (account_id)")],
    indices: &[Index::Plain("foreign_identity_by_account", "account_id")],
    tenant: Rights::CHANGE,
    jobs: Rights::SEE,
    feed: Feed::Tells {
        kind: "foreign_identity",
        id: &["tenant_id", "issuer", "subject"],
        only: None,
        since: 1,
    },
    fixed_but: None,
    grows_by: None,
};

impl Recorded for ForeignIdentityRecord {
    type Name = (TenantId, Arc<str>, Arc<str>);

    const ROWS: Rows = Rows {
        noun: &FOREIGN_IDENTITY_ROWS,
        columns: "r.account_id, r.not_before",
        with: "",
        only: "r.linked = 1",
    };

    fn read((tenant, ..): &Self::Name, columns: &mut Columns, _: &Keyring) -> Result<Self, StoreError> {
        Ok(Self { tenant: *tenant, account: columns.parse()?, not_before: columns.time()? })
    }

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn is_of(&self, (tenant, ..): &Self::Name) -> bool {
        self.tenant == *tenant
    }

    fn agrees_with(&self, other: &Self) -> bool {
        self == other
    }
}

statements! { "foreign identity";
    /// A subject that was somebody's before begins anew: what it was issued until now is nobody's.
    FOREIGN_LINK: Tenant [Uuid, Text, Text, Uuid, Int, Int] grants
        "INSERT INTO foreign_identity (tenant_id, issuer, subject, account_id, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (tenant_id, issuer, subject) DO UPDATE SET account_id = excluded.account_id, linked = 1,
             not_before = CASE WHEN foreign_identity.not_before > $6 THEN foreign_identity.not_before ELSE $6 END
             WHERE foreign_identity.linked = 0
         RETURNING account_id";
    FOREIGN_UNLINK: Tenant [Uuid, Text, Text] withdraws
        "UPDATE foreign_identity SET linked = 0 WHERE tenant_id = $1 AND issuer = $2 AND subject = $3 AND linked = 1
         RETURNING account_id";
    FOREIGN_NOT_BEFORE: Tenant [Uuid, Text, Text, Int] withdraws
        "UPDATE foreign_identity SET not_before = $4
         WHERE tenant_id = $1 AND issuer = $2 AND subject = $3 AND not_before <= $4 RETURNING account_id";
    FOREIGN_LINKS: Tenant [Uuid, Uuid]
        "SELECT issuer, subject, created_at FROM foreign_identity
         WHERE tenant_id = $1 AND account_id = $2 AND linked = 1 ORDER BY issuer, subject LIMIT 500";
    FOREIGN_MEMBER: Tenant [Uuid, Uuid]
        "SELECT account_id FROM member WHERE tenant_id = $1 AND account_id = $2 AND state <> 'removed' LIMIT 1";
}

/// Issuer and subject, as far as they can be told apart in the feed.
fn well_formed(issuer: &str, subject: &str) -> Result<(String, String), StoreError> {
    let good = |text: &str, longest: usize| {
        !text.is_empty() && text.len() <= longest && !text.chars().any(char::is_control)
    };
    if good(issuer, 512) && good(subject, 255) {
        return Ok((issuer.to_owned(), subject.to_owned()));
    }
    Err(StoreError::Invalid(
        "an issuer has 1 to 512 bytes, a subject 1 to 255, and neither control characters".into(),
    ))
}

/// Another issuer's subject that stands for somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkView {
    /// The issuer.
    pub issuer: String,
    /// Its subject.
    pub subject: String,
    /// Since when they are linked.
    pub created_at: UnixMillis,
}

impl TenantStore {
    /// Who stands for the account in the tenant, 500 at most.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn foreign_identities(&self, account: AccountId) -> Result<Vec<LinkView>, StoreError> {
        let tenant = self.tenant;
        self.read(async move |tx: &mut Tx<'_>| {
            let rows = tx.run(&FOREIGN_LINKS, values![tenant, account]).await?;
            let read = |row: crate::value::Row| {
                let mut columns = row.read();
                Ok(LinkView {
                    issuer: columns.text()?,
                    subject: columns.text()?,
                    created_at: columns.time()?,
                })
            };
            rows.into_iter().map(read).collect()
        })
        .await
    }

    /// Lets the issuer's subject stand for the account, which has to be a member somewhere in the tenant. If the subject
    /// stood for somebody before, only tokens that it is issued from now on count.
    ///
    /// # Errors
    /// If the subject is linked, or the account is no member.
    pub async fn foreign_identity_link(
        &self,
        issuer: &str,
        subject: &str,
        account: AccountId,
    ) -> Result<(), StoreError> {
        let tenant = self.tenant;
        let (issuer, subject) = well_formed(issuer, subject)?;
        let entry =
            self.entry("IDENTITY_LINKED", ("account", account.to_string()), json!({ "issuer": issuer }));
        self.write(async move |tx: &mut Tx<'_>| {
            let member = tx.run_one(&FOREIGN_MEMBER, values![tenant, account]).await?;
            member.ok_or(StoreError::NotFound { what: "membership" })?;
            let now = tx.now().await?;
            let link = values![tenant, &issuer, &subject, account, now, floor_after(now)];
            let row = tx.run_one(&FOREIGN_LINK, link).await?;
            row.ok_or(StoreError::AlreadyExists { what: "foreign identity" })?;
            entry.write(tx).await
        })
        .await
    }

    /// Ends a link.
    ///
    /// # Errors
    /// If there is none.
    pub async fn foreign_identity_unlink(&self, issuer: &str, subject: &str) -> Result<(), StoreError> {
        let tenant = self.tenant;
        let (issuer, subject) = well_formed(issuer, subject)?;
        let entry = self.entry(
            "IDENTITY_UNLINKED",
            ("foreign_identity", subject.clone()),
            json!({ "issuer": issuer }),
        );
        self.write(async move |tx: &mut Tx<'_>| {
            let row = tx.run_one(&FOREIGN_UNLINK, values![tenant, &issuer, &subject]).await?;
            row.ok_or(StoreError::NotFound { what: "foreign identity" })?;
            entry.write(tx).await
        })
        .await
    }

    /// Refuses the subject's tokens that were issued before `not_before`. The time only grows: an earlier one
    /// would let tokens back in.
    ///
    /// # Errors
    /// If there is no such identity, or its time is later already.
    pub async fn foreign_identity_not_before(
        &self,
        issuer: &str,
        subject: &str,
        not_before: UnixMillis,
    ) -> Result<(), StoreError> {
        let tenant = self.tenant;
        let (issuer, subject) = well_formed(issuer, subject)?;
        let details = json!({ "issuer": issuer, "not_before": not_before.0 });
        let entry = self.entry("IDENTITY_TOKENS_REVOKED", ("foreign_identity", subject.clone()), details);
        self.write(async move |tx: &mut Tx<'_>| {
            let row = tx.run_one(&FOREIGN_NOT_BEFORE, values![tenant, &issuer, &subject, not_before]).await?;
            row.ok_or(StoreError::NotFound { what: "foreign identity with an earlier time" })?;
            entry.write(tx).await
        })
        .await
    }
}
