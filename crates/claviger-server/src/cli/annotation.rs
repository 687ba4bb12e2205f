//! External ids and metadata, of whatever has them.

use std::collections::BTreeMap;

use clap::Args;
use claviger::directory::Annotated;
use claviger_store::StoreError;
use claviger_store::annotations::{AnnotationUpdate, AnnotationView};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::management::Failure;

/// What to change of what others call something, and keep beside it.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[group(required = true, multiple = true)]
pub(crate) struct Changes {
    /// What your own systems call it; no two of a kind are called the same
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// Take its external id away
    #[arg(long, conflicts_with = "external_id")]
    #[serde(default)]
    no_external_id: bool,
    /// Something to keep with it, such as tier=gold; again for more
    #[arg(long, value_name = "NAME=VALUE")]
    #[serde(default)]
    metadata: Vec<String>,
    /// The name of something that is to be kept no more; again for more
    #[arg(long, value_name = "NAME")]
    #[serde(default)]
    no_metadata: Vec<String>,
}

impl Changes {
    /// The same, as the store takes it.
    pub(super) fn update(self) -> Result<AnnotationUpdate, Failure> {
        let mut metadata = BTreeMap::new();
        for entry in &self.metadata {
            let (name, value) = entry.split_once('=').ok_or_else(|| {
                Failure::new(format!("`--metadata {entry}` has no value")).hint("write it as NAME=VALUE")
            })?;
            metadata.insert(name.to_owned(), Some(value.to_owned()));
        }
        for name in self.no_metadata {
            if metadata.insert(name.clone(), None).is_some() {
                return Err(Failure::new(format!("`{name}` is both to be kept and to be taken out")));
            }
        }
        let external_id = match (self.external_id, self.no_external_id) {
            (Some(id), _) => Some(Some(id)),
            (None, true) => Some(None),
            (None, false) => None,
        };
        Ok(AnnotationUpdate { external_id, metadata })
    }
}

/// What is listed of those that your own systems call so.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub(crate) struct Called {
    /// Only the one that your own systems call so
    #[arg(long, value_name = "ID")]
    pub(super) external_id: Option<String>,
}

/// What is called so, or nothing.
pub(super) fn found(answer: Result<Annotated, StoreError>) -> Result<Option<Annotated>, Failure> {
    match answer {
        Ok(about) => Ok(Some(about)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Adds what others call it, and keep beside it, to what is shown.
pub(super) fn with(mut shown: Value, annotation: &AnnotationView) -> Value {
    if let Some(object) = shown.as_object_mut() {
        object.insert("external_id".into(), json!(annotation.external_id));
        object.insert("metadata".into(), json!(annotation.metadata));
    }
    shown
}
