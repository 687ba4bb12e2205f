//! What others call a tenant, an organization, a member or a key, and what they keep beside it.
//!
//! One row for each thing that has any, whatever it is: nothing of it is read with the rows that decisions hang on, and
//! nobody pays for what he does not use. An external id is one thing's alone, of each kind, within its tenant. A tenant's own is
//! one tenant's alone in its realm, and the operator's to say: which are taken stands where no tenant's transaction can look.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger::directory::{Annotated, AnnotationRecord, MemberState, State};
use claviger::id::{RealmName, TenantId};
use serde_json::{Value as Json, json};

use crate::audit::entry::Entry;
use crate::backend::Tx;
use crate::credentials::api_keys;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::noun::{Feed, Index, Noun, Recorded, Rights, Rows, int, text, uuid};
use crate::parts::operator::Operator;
use crate::parts::tenant_store::TenantStore;
use crate::people::members;
use crate::statement::statements;
use crate::tenancy::{orgs, tenants};
use crate::value::{Columns, Row, Value, values};
use crate::versions;

/// The rows of annotations.
pub(crate) static ANNOTATION_ROWS: Noun = Noun {
    table: "annotation",
    about: "What others call something of a tenant's, and keep beside it.",
    columns: &[
        uuid("tenant_id"),
        text("kind").is("IN ('tenant', 'organization', 'member', 'key')"),
        text("entity"),
        text("external_id").optional(),
        text("metadata").or("'{}'"),
        int("created_at"),
    ],
    key: &["tenant_id", "kind", "entity"],
    references: &[(&["tenant_id"], "tenant (tenant_id)")],
    indices: &[Index::UniqueNamed(
        "annotation_external",
        "tenant_id, kind, external_id",
        Some("external_id IS NOT NULL"),
    )],
    tenant: Rights::CHANGE,
    // What the operator calls a tenant.
    jobs: Rights::CHANGE,
    feed: Feed::Tells { kind: "annotation", id: &["tenant_id", "kind", "entity"], only: None, since: 2 },
    fixed_but: None,
    grows_by: None,
};

/// The rows of what the operator calls tenants.
pub(crate) static TENANT_EXTERNAL_ID_ROWS: Noun = Noun {
    table: "tenant_external_id",
    about: "Which external ids of a realm's tenants are taken, and by whom.",
    columns: &[text("realm"), text("external_id"), uuid("holder")],
    key: &["realm", "external_id"],
    references: &[(&["realm"], "realm (name)"), (&["holder"], "tenant (tenant_id)")],
    indices: &[Index::Unique("holder")],
    tenant: Rights::NONE,
    jobs: Rights { delete: true, ..Rights::ADD },
    feed: Feed::Silent,
    fixed_but: None,
    grows_by: None,
};

impl Recorded for AnnotationRecord {
    type Name = (TenantId, Arc<str>, Arc<str>);

    const ROWS: Rows =
        Rows { noun: &ANNOTATION_ROWS, columns: "r.external_id, r.metadata", with: "", only: "" };

    fn read((tenant, ..): &Self::Name, columns: &mut Columns, _: &Keyring) -> Result<Self, StoreError> {
        Ok(Self { tenant: *tenant, external_id: columns.maybe_text()?, metadata: metadata(columns)? })
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

statements! { "external id";
    /// Sees to it that there is a row to hold. The time is given it when it is held, as this may wait.
    ANNOTATION_BEGIN: Tenant [Uuid, Text, Text]
        "INSERT INTO annotation (tenant_id, kind, entity, created_at) VALUES ($1, $2, $3, 0)
         ON CONFLICT (tenant_id, kind, entity) DO NOTHING";
    ANNOTATION_BEGIN_OF_TENANT: System [Uuid, Text]
        "INSERT INTO annotation (tenant_id, kind, entity, created_at) VALUES ($1, 'tenant', $2, 0)
         ON CONFLICT (tenant_id, kind, entity) DO NOTHING";
    /// Holds the row until the transaction ends: of two who change it at once, the second changes what the first has left.
    ANNOTATION_HELD: Tenant [Uuid, Text, Text]
        "SELECT entity, external_id, metadata FROM annotation WHERE tenant_id = $1 AND kind = $2 AND entity = $3"
        postgres "SELECT entity, external_id, metadata FROM annotation WHERE tenant_id = $1 AND kind = $2 AND entity = $3 FOR UPDATE";
    ANNOTATION_HELD_OF_TENANT: System [Uuid]
        "SELECT entity, external_id, metadata FROM annotation WHERE tenant_id = $1 AND kind = 'tenant'"
        postgres "SELECT entity, external_id, metadata FROM annotation WHERE tenant_id = $1 AND kind = 'tenant' FOR UPDATE";
    ANNOTATION_PUT: Tenant [Uuid, Text, Text, Text, Text, Int]
        "UPDATE annotation SET external_id = $4, metadata = $5, created_at = CASE created_at WHEN 0 THEN $6 ELSE created_at END
         WHERE tenant_id = $1 AND kind = $2 AND entity = $3";
    ANNOTATION_PUT_OF_TENANT: System [Uuid, Text, Text, Int]
        "UPDATE annotation SET external_id = $2, metadata = $3, created_at = CASE created_at WHEN 0 THEN $4 ELSE created_at END
         WHERE tenant_id = $1 AND kind = 'tenant'";
    ANNOTATION: Tenant [Uuid, Text, Text]
        "SELECT entity, external_id, metadata FROM annotation WHERE tenant_id = $1 AND kind = $2 AND entity = $3";
    /// Of sixteen things, or of fewer and of what is called nothing.
    ANNOTATIONS: Tenant [Uuid, Text, Text, Text, Text, Text, Text, Text, Text, Text, Text, Text, Text, Text, Text, Text, Text, Text]
        "SELECT entity, external_id, metadata FROM annotation WHERE tenant_id = $1 AND kind = $2
             AND entity IN ($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";
    ANNOTATIONS_OF_TENANTS: System [Text]
        "SELECT a.entity, a.external_id, a.metadata FROM json_each($1) AS j
         JOIN annotation AS a ON a.tenant_id = j.value AND a.kind = 'tenant' AND a.entity = j.value"
        postgres "SELECT a.entity, a.external_id, a.metadata FROM jsonb_array_elements_text(CAST($1 AS jsonb)) AS j(value)
         JOIN annotation AS a ON a.tenant_id = CAST(j.value AS uuid) AND a.kind = 'tenant' AND a.entity = j.value";
    ANNOTATED: Tenant [Uuid, Text, Text]
        "SELECT entity FROM annotation WHERE tenant_id = $1 AND kind = $2 AND external_id = $3";
    TENANT_CALLED: System [Text, Text]
        "SELECT c.holder, t.state FROM tenant_external_id AS c JOIN tenant AS t ON t.tenant_id = c.holder
         WHERE c.realm = $1 AND c.external_id = $2";
    TENANT_CALL: System [Text, Text, Uuid]
        "INSERT INTO tenant_external_id (realm, external_id, holder) VALUES ($1, $2, $3)";
    TENANT_CALL_NOTHING: System [Uuid] "DELETE FROM tenant_external_id WHERE holder = $1";
    TENANT_REALM: System [Uuid] "SELECT realm FROM tenant WHERE tenant_id = $1 AND state <> 'deleted'";
    ANNOTATION_RELEASE_OF_TENANT: System [Uuid]
        "UPDATE annotation SET external_id = NULL WHERE tenant_id = $1 AND kind = 'tenant'";
    ANNOTATION_RELEASE: Tenant [Uuid, Text, Text]
        "UPDATE annotation SET external_id = NULL WHERE tenant_id = $1 AND kind = $2 AND entity = $3";
}

/// How many annotations are read with one statement.
const AT_ONCE: usize = 16;

/// The longest external id, in bytes.
pub const MAX_EXTERNAL_ID_BYTES: usize = 255;
/// How many entries metadata have at most.
pub const MAX_METADATA_ENTRIES: usize = 50;
/// The longest name of an entry, in characters.
pub const MAX_METADATA_NAME: usize = 40;
/// The longest value of an entry, in characters.
pub const MAX_METADATA_VALUE: usize = 500;

/// What others call something, and keep beside it; nothing of what has neither.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnnotationView {
    /// What it is called elsewhere.
    pub external_id: Option<String>,
    /// Whatever else is kept with it.
    pub metadata: BTreeMap<String, String>,
}

/// What to change of an annotation. What is not named stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnnotationUpdate {
    /// A new external id, or, within it, none.
    pub external_id: Option<Option<String>>,
    /// New values, and names to be taken out.
    pub metadata: BTreeMap<String, Option<String>>,
}

impl AnnotationUpdate {
    /// Refuses what cannot be an external id or metadata, whatever there is already.
    ///
    /// # Errors
    /// Saying what it may be.
    pub fn check(&self) -> Result<(), StoreError> {
        if let Some(Some(id)) = &self.external_id
            && (id.is_empty() || id.len() > MAX_EXTERNAL_ID_BYTES || id.chars().any(char::is_control))
        {
            return Err(StoreError::Invalid(format!(
                "an external id has 1 to {MAX_EXTERNAL_ID_BYTES} bytes, and no control characters"
            )));
        }
        // No address could name it.
        if let Some(Some("." | "..")) = self.external_id.as_ref().map(|id| id.as_deref()) {
            return Err(StoreError::Invalid("an external id is neither `.` nor `..`".into()));
        }
        for (name, value) in &self.metadata {
            let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
            if name.is_empty() || name.len() > MAX_METADATA_NAME || !letters {
                return Err(StoreError::Invalid(format!(
                    "a name of metadata has 1 to {MAX_METADATA_NAME} letters, digits, `_`, `-` or `.`"
                )));
            }
            if value
                .as_ref()
                .is_some_and(|value| value.chars().count() > MAX_METADATA_VALUE || value.contains('\0'))
            {
                return Err(StoreError::Invalid(format!(
                    "a value of metadata has at most {MAX_METADATA_VALUE} characters, none of them NUL"
                )));
            }
        }
        Ok(())
    }

    /// What there is after it.
    ///
    /// # Errors
    /// If that would be more than there may be.
    pub fn applied_to(&self, mut view: AnnotationView) -> Result<AnnotationView, StoreError> {
        if let Some(external_id) = &self.external_id {
            view.external_id.clone_from(external_id);
        }
        for (name, value) in &self.metadata {
            match value {
                Some(value) => view.metadata.insert(name.clone(), value.clone()),
                None => view.metadata.remove(name),
            };
        }
        if view.metadata.len() > MAX_METADATA_ENTRIES {
            return Err(StoreError::Invalid(format!("metadata have at most {MAX_METADATA_ENTRIES} entries")));
        }
        Ok(view)
    }
}

fn metadata(columns: &mut Columns) -> Result<BTreeMap<String, String>, StoreError> {
    serde_json::from_str(&columns.text()?).map_err(|_| StoreError::Corrupt { what: "annotation" })
}

fn read(columns: &mut Columns) -> Result<(String, AnnotationView), StoreError> {
    let entity = columns.text()?;
    Ok((entity, AnnotationView { external_id: columns.maybe_text()?, metadata: metadata(columns)? }))
}

fn read_all(rows: Vec<Row>) -> Result<BTreeMap<String, AnnotationView>, StoreError> {
    rows.into_iter().map(|row| read(&mut row.read())).collect()
}

/// What was held.
fn held_view(row: Option<Row>) -> Result<AnnotationView, StoreError> {
    let row = row.ok_or(StoreError::Corrupt { what: "annotation" })?;
    read(&mut row.read()).map(|(_, view)| view)
}

async fn view(tx: &mut Tx<'_>, tenant: TenantId, about: Annotated) -> Result<AnnotationView, StoreError> {
    let row = tx.run_one(&ANNOTATION, values![tenant, about.kind(), about.entity()]).await?;
    Ok(row.map(|row| read(&mut row.read())).transpose()?.map(|(_, view)| view).unwrap_or_default())
}

/// Refuses what is not there, or not any more.
async fn is_there(tx: &mut Tx<'_>, tenant: TenantId, about: Annotated) -> Result<(), StoreError> {
    let (what, is_gone) = match about {
        Annotated::Tenant(_) => ("tenant", tenants::view(tx, tenant).await?.state == State::Deleted),
        Annotated::Org(org) => return orgs::not_deleted(tx, tenant, org).await.map(drop),
        Annotated::Member(org, account) => {
            // What hangs on an organization is gone with it.
            orgs::not_deleted(tx, tenant, org).await?;
            let member = members::view(tx, tenant, org, account).await?;
            ("membership", member.state == MemberState::Removed)
        }
        Annotated::Key(key) => {
            let (org, state) = api_keys::place_and_state(tx, tenant, key).await?;
            orgs::not_deleted(tx, tenant, org).await?;
            ("API key", state == State::Deleted)
        }
    };
    if is_gone { Err(StoreError::NotFound { what }) } else { Ok(()) }
}

/// Changes the annotation, in the transaction of its entry in the audit.
async fn put(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    about: Annotated,
    update: &AnnotationUpdate,
    entry: &Entry,
) -> Result<AnnotationView, StoreError> {
    versions::hold(tx, tenant, about).await?;
    is_there(tx, tenant, about).await?;
    tx.run(&ANNOTATION_BEGIN, values![tenant, about.kind(), about.entity()]).await?;
    let held = tx.run_one(&ANNOTATION_HELD, values![tenant, about.kind(), about.entity()]).await?;
    let new = update.applied_to(held_view(held)?)?;
    if let Some(id) = &new.external_id {
        release_of_the_gone(tx, tenant, about, id).await?;
    }
    let (now, kept) = (tx.now().await?, json!(new.metadata).to_string());
    let row = values![tenant, about.kind(), about.entity(), new.external_id.as_deref(), kept, now];
    tx.run(&ANNOTATION_PUT, row).await?;
    entry.clone().write(tx).await?;
    Ok(new)
}

/// What is gone gives its external id back: whoever comes again is called as before.
async fn release_of_the_gone(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    about: Annotated,
    external_id: &str,
) -> Result<(), StoreError> {
    let Some(row) = tx.run_one(&ANNOTATED, values![tenant, about.kind(), external_id]).await? else {
        return Ok(());
    };
    let entity = row.read().text()?;
    let holder = Annotated::read(about.kind(), &entity).ok_or(StoreError::Corrupt { what: "annotation" })?;
    if holder != about && matches!(is_there(tx, tenant, holder).await, Err(StoreError::NotFound { .. })) {
        tx.run(&ANNOTATION_RELEASE, values![tenant, about.kind(), entity]).await?;
    }
    Ok(())
}

fn details(update: &AnnotationUpdate) -> Json {
    // Names alone: what others keep there is theirs, and stays out of what can never be changed.
    let names: Vec<&String> = update.metadata.keys().collect();
    match &update.external_id {
        Some(id) => json!({ "external_id": id, "metadata": names }),
        None => json!({ "metadata": names }),
    }
}

impl TenantStore {
    /// What others call it, and keep beside it.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn annotation(&self, about: Annotated) -> Result<AnnotationView, StoreError> {
        let tenant = self.tenant;
        self.read(async move |tx: &mut Tx<'_>| view(tx, tenant, about).await).await
    }

    /// The same of many of one kind, by [`Annotated::entity`]. What has none is not in it.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn annotations(
        &self,
        kind: &'static str,
        entities: Vec<String>,
    ) -> Result<BTreeMap<String, AnnotationView>, StoreError> {
        let tenant = self.tenant;
        self.read(async move |tx: &mut Tx<'_>| {
            let mut found = BTreeMap::new();
            for some in entities.chunks(AT_ONCE) {
                let names = some.iter().map(String::as_str).chain(std::iter::repeat("")).take(AT_ONCE);
                let mut params: Vec<Value> = vec![tenant.into(), kind.into()];
                params.extend(names.map(Value::from));
                found.extend(read_all(tx.run(&ANNOTATIONS, &params).await?)?);
            }
            Ok(found)
        })
        .await
    }

    /// Changes what others call an organization, a member or a key, and what they keep beside it. What a tenant itself is called
    /// is the operator's to say.
    ///
    /// # Errors
    /// If there is no such thing, another one has that external id, or it is not one.
    pub async fn annotate(
        &self,
        about: Annotated,
        update: AnnotationUpdate,
    ) -> Result<AnnotationView, StoreError> {
        if matches!(about, Annotated::Tenant(_)) {
            return Err(StoreError::Refused { why: "what a tenant is called is the operator's to say" });
        }
        update.check()?;
        let (tenant, manager) = (self.tenant, self.key_manager.clone());
        let entry = self.entry("METADATA_UPDATED", (about.kind(), about.entity()), details(&update));
        self.write(async move |tx: &mut Tx<'_>| {
            if let Annotated::Key(key) = about {
                api_keys::manages(tx, tenant, manager.as_ref(), key).await?;
            }
            put(tx, tenant, about, &update, &entry).await
        })
        .await
    }

    /// What is called so elsewhere, of this kind.
    ///
    /// # Errors
    /// If nothing is.
    pub async fn annotated(&self, kind: &'static str, external_id: &str) -> Result<Annotated, StoreError> {
        let (tenant, external_id) = (self.tenant, external_id.to_owned());
        self.read(async move |tx: &mut Tx<'_>| {
            let row = tx.run_one(&ANNOTATED, values![tenant, kind, &external_id]).await?;
            let entity = row.ok_or(StoreError::NotFound { what: "external id" })?.read().text()?;
            Annotated::read(kind, &entity).ok_or(StoreError::Corrupt { what: "annotation" })
        })
        .await
    }
}

impl Operator {
    /// Changes what others call a tenant, and what they keep beside it.
    ///
    /// # Errors
    /// If there is no such tenant, another one of its realm has that external id, or it is not one.
    pub async fn tenant_annotate(
        &self,
        tenant: TenantId,
        update: AnnotationUpdate,
    ) -> Result<AnnotationView, StoreError> {
        update.check()?;
        let details = details(&update);
        let entity = ("tenant", tenant.to_string());
        let entry = Entry::new(&self.inner, None, &self.actor, "METADATA_UPDATED", entity, &details);
        self.write(async move |tx: &mut Tx<'_>| {
            versions::hold_tenant(tx, tenant).await?;
            let row = tx.run_one(&TENANT_REALM, values![tenant]).await?;
            let realm: RealmName = row.ok_or(StoreError::NotFound { what: "tenant" })?.read().parse()?;
            tx.run(&ANNOTATION_BEGIN_OF_TENANT, values![tenant, tenant.to_string()]).await?;
            let held = tx.run_one(&ANNOTATION_HELD_OF_TENANT, values![tenant]).await?;
            let new = update.applied_to(held_view(held)?)?;
            if update.external_id.is_some() {
                tx.run(&TENANT_CALL_NOTHING, values![tenant]).await?;
            }
            if let (Some(id), true) = (&new.external_id, update.external_id.is_some()) {
                let holder = tx.run_one(&TENANT_CALLED, values![realm.as_str(), id]).await?;
                if let Some(row) = holder {
                    let mut columns = row.read();
                    let (holder, state) = (columns.parse::<TenantId>()?, columns.state("tenant")?);
                    if state != State::Deleted {
                        return Err(StoreError::AlreadyExists { what: "external id" });
                    }
                    // A customer who comes back is called as before.
                    tx.run(&TENANT_CALL_NOTHING, values![holder]).await?;
                    tx.run(&ANNOTATION_RELEASE_OF_TENANT, values![holder]).await?;
                }
                tx.run(&TENANT_CALL, values![realm.as_str(), id, tenant]).await?;
            }
            let (now, kept) = (tx.now().await?, json!(new.metadata).to_string());
            let row = values![tenant, new.external_id.as_deref(), kept, now];
            tx.run(&ANNOTATION_PUT_OF_TENANT, row).await?;
            entry.clone().write(tx).await?;
            Ok(new)
        })
        .await
    }

    /// The realm's tenant that is called so elsewhere, deleted or not, if there is one.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn tenant_called(
        &self,
        realm: &RealmName,
        external_id: &str,
    ) -> Result<Option<TenantId>, StoreError> {
        let (realm, external_id) = (realm.clone(), external_id.to_owned());
        self.read(async move |tx: &mut Tx<'_>| {
            let row = tx.run_one(&TENANT_CALLED, values![realm.as_str(), &external_id]).await?;
            row.map(|row| row.read().parse()).transpose()
        })
        .await
    }

    /// What others call these tenants, and keep beside them, by the tenant's id. Who has none is not in it.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn tenant_annotations(
        &self,
        tenants: Vec<TenantId>,
    ) -> Result<BTreeMap<String, AnnotationView>, StoreError> {
        let tenants = json!(tenants.iter().map(ToString::to_string).collect::<Vec<_>>()).to_string();
        self.read(async move |tx: &mut Tx<'_>| {
            read_all(tx.run(&ANNOTATIONS_OF_TENANTS, values![&tenants]).await?)
        })
        .await
    }
}
