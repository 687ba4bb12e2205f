//! Versions of what two people may edit at once: who edits says which one they have seen, and nobody undoes what they have not.

use claviger::directory::Annotated;
use claviger::id::TenantId;

use crate::backend::Tx;
use crate::error::StoreError;
use crate::statement::{Statement, statements};
use crate::value::{Value, values};

statements! { "version";
    TENANT_VERSION: Tenant [Uuid] "SELECT row_version FROM tenant WHERE tenant_id = $1";
    ORG_VERSION: Tenant [Uuid, Uuid] "SELECT row_version FROM organization WHERE tenant_id = $1 AND org_id = $2";
    MEMBER_VERSION: Tenant [Uuid, Uuid, Uuid]
        "SELECT row_version FROM member WHERE tenant_id = $1 AND org_id = $2 AND account_id = $3";
    KEY_VERSION: Tenant [Uuid, Uuid] "SELECT row_version FROM api_key WHERE tenant_id = $1 AND key_id = $2";
    ANNOTATION_VERSION: Tenant [Uuid, Text, Text]
        "SELECT row_version FROM annotation WHERE tenant_id = $1 AND kind = $2 AND entity = $3";
    /// These hold the row until the transaction ends.
    TENANT_VERSION_HELD: Tenant [Uuid] "SELECT row_version FROM tenant WHERE tenant_id = $1"
        postgres "SELECT row_version FROM tenant WHERE tenant_id = $1 FOR NO KEY UPDATE";
    ORG_VERSION_HELD: Tenant [Uuid, Uuid]
        "SELECT row_version FROM organization WHERE tenant_id = $1 AND org_id = $2"
        postgres "SELECT row_version FROM organization WHERE tenant_id = $1 AND org_id = $2 FOR NO KEY UPDATE";
    MEMBER_VERSION_HELD: Tenant [Uuid, Uuid, Uuid]
        "SELECT row_version FROM member WHERE tenant_id = $1 AND org_id = $2 AND account_id = $3"
        postgres "SELECT row_version FROM member WHERE tenant_id = $1 AND org_id = $2 AND account_id = $3 FOR NO KEY UPDATE";
    KEY_VERSION_HELD: Tenant [Uuid, Uuid] "SELECT row_version FROM api_key WHERE tenant_id = $1 AND key_id = $2"
        postgres "SELECT row_version FROM api_key WHERE tenant_id = $1 AND key_id = $2 FOR NO KEY UPDATE";
    ANNOTATION_VERSION_HELD: Tenant [Uuid, Text, Text]
        "SELECT row_version FROM annotation WHERE tenant_id = $1 AND kind = $2 AND entity = $3"
        postgres "SELECT row_version FROM annotation WHERE tenant_id = $1 AND kind = $2 AND entity = $3 FOR NO KEY UPDATE";
    /// The operator's transaction sees no tenant's rows but these.
    ANNOTATION_VERSION_OF_TENANT_HELD: System [Uuid]
        "SELECT row_version FROM annotation WHERE tenant_id = $1 AND kind = 'tenant'"
        postgres "SELECT row_version FROM annotation WHERE tenant_id = $1 AND kind = 'tenant' FOR NO KEY UPDATE";
    TENANT_VERSION_OF_OPERATOR_HELD: System [Uuid] "SELECT row_version FROM tenant WHERE tenant_id = $1"
        postgres "SELECT row_version FROM tenant WHERE tenant_id = $1 FOR NO KEY UPDATE";
}

/// A version: of the thing itself, and of what others call it and keep beside it, 0 while there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    of_itself: i64,
    of_annotation: i64,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.of_itself, self.of_annotation)
    }
}

impl std::str::FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (of_itself, of_annotation) = text.split_once('.')?;
            Some(Self { of_itself: of_itself.parse().ok()?, of_annotation: of_annotation.parse().ok()? })
        };
        read().ok_or_else(|| "this is no version; give the `version` that was shown".to_owned())
    }
}

/// What must not have been edited since a version of it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unedited {
    pub(crate) about: Annotated,
    pub(crate) since: Version,
}

/// The five statements for reading, or for holding.
struct Statements {
    tenant: &'static Statement,
    org: &'static Statement,
    member: &'static Statement,
    key: &'static Statement,
    annotation: &'static Statement,
}

static SEE: Statements = Statements {
    tenant: &TENANT_VERSION,
    org: &ORG_VERSION,
    member: &MEMBER_VERSION,
    key: &KEY_VERSION,
    annotation: &ANNOTATION_VERSION,
};
static HOLD: Statements = Statements {
    tenant: &TENANT_VERSION_HELD,
    org: &ORG_VERSION_HELD,
    member: &MEMBER_VERSION_HELD,
    key: &KEY_VERSION_HELD,
    annotation: &ANNOTATION_VERSION_HELD,
};

async fn number(
    tx: &mut Tx<'_>,
    statement: &'static Statement,
    parameters: &[Value],
) -> Result<Option<i64>, StoreError> {
    let row = tx.run_one(statement, parameters).await?;
    row.map(|row| row.read().int()).transpose()
}

/// The present version of something.
///
/// # Errors
/// If there is no such thing.
pub(crate) async fn seen(tx: &mut Tx<'_>, tenant: TenantId, about: Annotated) -> Result<Version, StoreError> {
    version(tx, &SEE, tenant, about).await
}

/// Holds the thing itself until the transaction ends, before what others call it: whoever edits either takes turns, and everybody takes them
/// in this order. (A row that is not there yet cannot be held.)
///
/// # Errors
/// If there is no such thing.
pub(crate) async fn hold(tx: &mut Tx<'_>, tenant: TenantId, about: Annotated) -> Result<(), StoreError> {
    of_itself(tx, &HOLD, tenant, about).await.map(drop)
}

/// The same of a tenant, in the operator's transaction.
///
/// # Errors
/// If there is no such tenant.
pub(crate) async fn hold_tenant(tx: &mut Tx<'_>, tenant: TenantId) -> Result<(), StoreError> {
    let held = number(tx, &TENANT_VERSION_OF_OPERATOR_HELD, values![tenant]).await?;
    held.map(drop).ok_or(StoreError::NotFound { what: "tenant" })
}

async fn of_itself(
    tx: &mut Tx<'_>,
    statements: &Statements,
    tenant: TenantId,
    about: Annotated,
) -> Result<i64, StoreError> {
    let (statement, parameters, what): (_, Vec<Value>, _) = match about {
        Annotated::Tenant(_) => (statements.tenant, vec![tenant.into()], "tenant"),
        Annotated::Org(org) => (statements.org, vec![tenant.into(), org.into()], "organization"),
        Annotated::Member(org, account) => {
            (statements.member, vec![tenant.into(), org.into(), account.into()], "membership")
        }
        Annotated::Key(key) => (statements.key, vec![tenant.into(), key.into()], "API key"),
    };
    number(tx, statement, &parameters).await?.ok_or(StoreError::NotFound { what })
}

async fn version(
    tx: &mut Tx<'_>,
    statements: &Statements,
    tenant: TenantId,
    about: Annotated,
) -> Result<Version, StoreError> {
    let of_itself = of_itself(tx, statements, tenant, about).await?;
    let annotation = values![tenant, about.kind(), about.entity()];
    let of_annotation = number(tx, statements.annotation, annotation).await?.unwrap_or(0);
    Ok(Version { of_itself, of_annotation })
}

impl Unedited {
    fn compare(self, now: Version) -> Result<(), StoreError> {
        if now == self.since { Ok(()) } else { Err(StoreError::Edited { now: now.to_string() }) }
    }

    /// Goes on only if it was not edited; until the transaction ends nobody edits it.
    pub(crate) async fn hold(self, tx: &mut Tx<'_>, tenant: TenantId) -> Result<(), StoreError> {
        self.compare(version(tx, &HOLD, tenant, self.about).await?)
    }

    /// The same of what the operator calls a tenant.
    pub(crate) async fn hold_for_operator(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let Annotated::Tenant(tenant) = self.about else { return Ok(()) };
        let of_itself = number(tx, &TENANT_VERSION_OF_OPERATOR_HELD, values![tenant]).await?;
        let of_annotation = number(tx, &ANNOTATION_VERSION_OF_TENANT_HELD, values![tenant]).await?;
        self.compare(Version {
            of_itself: of_itself.ok_or(StoreError::NotFound { what: "tenant" })?,
            of_annotation: of_annotation.unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_it_was_written_and_nothing_else_is() {
        let version = Version { of_itself: 12, of_annotation: 3 };
        assert_eq!(version.to_string().parse(), Ok(version));
        for wrong in ["", "12", "12.", ".3", "12.x", "12.3.4", "\"12.3\""] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
    }
}
