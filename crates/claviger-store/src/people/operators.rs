//! Those who operate this server, people and programs, each with a token of their own.
//!
//! No decision about a request reads them. The management API reads one for every call, from the store itself, so that an
//! operator who was ended is nobody from that moment on, on every node.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::clock::UnixMillis;
use claviger::id::OperatorId;
use claviger::secret::Secret;
use serde_json::json;

use crate::audit::entry::Entry;
use crate::backend::Tx;
use crate::error::StoreError;
use crate::noun::{Columns as Allowed, Feed, Index, Noun, Rights, blob, int, text, uuid};
use crate::parts::operator::Operator;
use crate::parts::system_store::SystemStore;
use crate::statement::statements;
use crate::value::{Columns, Row, values};

/// What an operator's token begins with; what stands behind it is 32 bytes in base64url.
pub const TOKEN_PREFIX: &str = "claviger_operator_";
/// How long a token lives if nobody says, in days.
pub const DEFAULT_DAYS: i64 = 90;
/// How long one may live, in days.
const LONGEST_DAYS: i64 = 400;
/// The longest name, in bytes.
const LONGEST_NAME: usize = 64;

/// The rows of operators.
pub(crate) static OPERATOR_ROWS: Noun = Noun {
    table: "operator",
    about: "Somebody who operates this server. `realms` and `tenants` bind them to these, where they are given.",
    columns: &[
        uuid("operator_id"),
        text("name"),
        text("role").is("IN ('reader', 'support', 'owner')"),
        text("realms").optional(),
        text("tenants").optional(),
        blob("token_digest"),
        int("created_at"),
        int("expires_at"),
        int("ended_at").optional(),
    ],
    key: &["operator_id"],
    references: &[],
    indices: &[
        Index::Unique("token_digest"),
        Index::UniqueNamed("operator_by_name", "name", Some("ended_at IS NULL")),
    ],
    tenant: Rights::NONE,
    jobs: Rights { update: Allowed::These(&["ended_at"]), ..Rights::ADD },
    feed: Feed::Silent,
    fixed_but: None,
    grows_by: None,
};

statements! { "operator";
    OPERATOR_ADD: System [Uuid, Text, Text, Text, Text, Blob, Int, Int] grants
        "INSERT INTO operator (operator_id, name, role, realms, tenants, token_digest, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    OPERATOR_LIST: System []
        "SELECT operator_id, name, role, realms, tenants, created_at, expires_at, ended_at FROM operator
         ORDER BY created_at, operator_id";
    OPERATOR_BY_NAME: System [Text]
        "SELECT operator_id, name, role, realms, tenants, created_at, expires_at, ended_at FROM operator
         WHERE name = $1 AND ended_at IS NULL";
    OPERATOR_BY_TOKEN: System [Blob, Int]
        "SELECT operator_id, name, role, realms, tenants, created_at, expires_at, ended_at FROM operator
         WHERE token_digest = $1 AND expires_at > $2 AND ended_at IS NULL";
    /// Whoever has run out makes place for another of the name.
    OPERATOR_RUN_OUT: System [Text, Int]
        "UPDATE operator SET ended_at = expires_at WHERE name = $1 AND expires_at <= $2 AND ended_at IS NULL";
    OPERATOR_END: System [Uuid, Int] withdraws
        "UPDATE operator SET ended_at = $2 WHERE operator_id = $1 AND ended_at IS NULL RETURNING operator_id";
}

/// An operator to be made.
#[derive(Debug, Clone)]
pub struct NewOperator {
    /// What they are called in lists and in the audit; no two at a time are called the same.
    pub name: String,
    /// `reader`, `support` or `owner`.
    pub role: &'static str,
    /// The realms they are bound to, if they are.
    pub realms: Option<Vec<String>>,
    /// The tenants they are bound to, if they are.
    pub tenants: Option<Vec<String>>,
    /// How long their token lives, in days: 1 to 400.
    pub days: i64,
}

impl NewOperator {
    fn check(&self) -> Result<(), StoreError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '+');
        if self.name.is_empty() || self.name.len() > LONGEST_NAME || !self.name.chars().all(is_plain) {
            return Err(StoreError::Invalid(format!(
                "an operator's name has 1 to {LONGEST_NAME} letters, digits and - _ . @ +"
            )));
        }
        // The audit calls the users of a machine so.
        if self.name.eq_ignore_ascii_case("root") || self.name.to_ascii_lowercase().starts_with("uid-") {
            let what = "`root` and `uid-…` are users of the machine; choose another name";
            return Err(StoreError::Invalid(what.to_owned()));
        }
        if !(1..=LONGEST_DAYS).contains(&self.days) {
            return Err(StoreError::Invalid(format!(
                "an operator's token lives from 1 to {LONGEST_DAYS} days"
            )));
        }
        Ok(())
    }
}

/// An operator, without the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorView {
    /// Their id.
    pub operator: OperatorId,
    /// What they are called.
    pub name: String,
    /// `reader`, `support` or `owner`.
    pub role: String,
    /// The realms they are bound to, if they are.
    pub realms: Option<Vec<String>>,
    /// The tenants they are bound to, if they are.
    pub tenants: Option<Vec<String>>,
    /// When they were made.
    pub created_at: UnixMillis,
    /// When their token ends by itself.
    pub expires_at: UnixMillis,
    /// When they were ended.
    pub ended_at: Option<UnixMillis>,
}

/// An operator with the token, which nobody can be shown again.
pub struct OperatorMade {
    /// The operator.
    pub view: OperatorView,
    /// The token.
    pub token: Secret,
}

impl fmt::Debug for OperatorMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view.fmt(f)
    }
}

fn words(text: Option<String>) -> Option<Vec<String>> {
    text.map(|text| text.split_whitespace().map(str::to_owned).collect())
}

fn read(row: Row) -> Result<OperatorView, StoreError> {
    let mut columns: Columns = row.read();
    Ok(OperatorView {
        operator: columns.parse()?,
        name: columns.text()?,
        role: columns.text()?,
        realms: words(columns.maybe_text()?),
        tenants: words(columns.maybe_text()?),
        created_at: columns.time()?,
        expires_at: columns.time()?,
        ended_at: columns.maybe_time()?,
    })
}

/// A token has 256 unpredictable bits, so its plain digest tells nothing of it.
fn digest_of(token: &[u8]) -> Vec<u8> {
    digest(&SHA256, token).as_ref().to_vec()
}

impl Operator {
    /// Makes an operator and gives the token, this once.
    ///
    /// # Errors
    /// If there is one of that name, or the name or the life of the token is not one.
    pub async fn operator_create(&self, new: NewOperator) -> Result<OperatorMade, StoreError> {
        new.check()?;
        let mut bytes = zeroize::Zeroizing::new([0; 32]);
        self.inner.random.fill(&mut *bytes);
        let token = zeroize::Zeroizing::new(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(*bytes)));
        let digest = digest_of(token.as_bytes());
        let operator = OperatorId::generate(&*self.inner.random);
        let details = json!({
            "name": new.name, "role": new.role, "realms": new.realms, "tenants": new.tenants, "days": new.days,
        });
        let entity = ("operator", operator.to_string());
        let entry = Entry::new(&self.inner, None, &self.actor, "OPERATOR_CREATED", entity, &details);
        let new = Arc::new(new);
        let view = self
            .write(async move |tx: &mut Tx<'_>| {
                let now = tx.now().await?;
                let expires_at = now.plus_seconds(new.days * 24 * 60 * 60);
                tx.run(&OPERATOR_RUN_OUT, values![&new.name, now]).await?;
                let joined = |words: &Option<Vec<String>>| words.as_ref().map(|words| words.join(" "));
                let (realms, tenants) = (joined(&new.realms), joined(&new.tenants));
                let row =
                    values![operator, &new.name, new.role, realms, tenants, digest.clone(), now, expires_at];
                tx.run(&OPERATOR_ADD, row).await?;
                entry.write(tx).await?;
                let made = tx.run_one(&OPERATOR_BY_NAME, values![&new.name]).await?;
                read(made.ok_or(StoreError::NotFound { what: "operator" })?)
            })
            .await?;
        Ok(OperatorMade { view, token: Secret::new(token.as_bytes().to_vec()) })
    }

    /// All operators, ended or not, the oldest first.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn operator_list(&self) -> Result<Vec<OperatorView>, StoreError> {
        self.read(async move |tx: &mut Tx<'_>| {
            tx.run(&OPERATOR_LIST, values![]).await?.into_iter().map(read).collect()
        })
        .await
    }

    /// The operator of that name who is not ended.
    ///
    /// # Errors
    /// If there is none.
    pub async fn operator_find(&self, name: &str) -> Result<OperatorView, StoreError> {
        let name = name.to_owned();
        self.read(async move |tx: &mut Tx<'_>| {
            let row = tx.run_one(&OPERATOR_BY_NAME, values![&name]).await?;
            read(row.ok_or(StoreError::NotFound { what: "operator" })?)
        })
        .await
    }

    /// Ends an operator: the token is nobody's from now on. Twice is as good as once.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn operator_end(&self, operator: OperatorId) -> Result<(), StoreError> {
        let entry = self.entry("OPERATOR_ENDED", ("operator", operator.to_string()));
        self.write(async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            if tx.run_one(&OPERATOR_END, values![operator, now]).await?.is_some() {
                entry.write(tx).await?;
            }
            Ok(())
        })
        .await
    }
}

impl SystemStore {
    /// Whose token this is, now: `None` if nobody's, or of one who is ended or has run out.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn operator_of(&self, token: &str) -> Result<Option<OperatorView>, StoreError> {
        if !token.starts_with(TOKEN_PREFIX) {
            return Ok(None);
        }
        let digest = digest_of(token.as_bytes());
        self.read(async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            tx.run_one(&OPERATOR_BY_TOKEN, values![digest.clone(), now]).await?.map(read).transpose()
        })
        .await
    }
}
