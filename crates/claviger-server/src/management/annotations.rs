//! External ids and metadata, of whatever has them.

use std::collections::BTreeMap;

use claviger::directory::Annotated;
use claviger_store::StoreError;
use claviger_store::annotations::{AnnotationUpdate, AnnotationView};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::operation::Call;
use crate::failure::{Failure, FailureKind};

/// What others call something, and keep beside it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Annotations {
    /// What the operator's own systems call it.
    external_id: Option<String>,
    /// What is kept with it.
    metadata: BTreeMap<String, String>,
}

impl From<AnnotationView> for Annotations {
    fn from(view: AnnotationView) -> Self {
        Self { external_id: view.external_id, metadata: view.metadata }
    }
}

/// What to change of that (RFC 7396: `null` takes away, what is absent stays).
#[derive(Debug, Deserialize)]
pub(crate) struct AnnotationChanges {
    pub(crate) external_id: Option<Option<String>>,
    pub(crate) metadata: BTreeMap<String, Option<String>>,
}

impl From<AnnotationChanges> for AnnotationUpdate {
    fn from(changes: AnnotationChanges) -> Self {
        Self { external_id: changes.external_id, metadata: changes.metadata }
    }
}

/// Tells `null` from what is absent.
pub(super) fn given<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

/// What an operator's own systems say of something is the operators': to a person it is as if nobody had said anything.
pub(super) fn withhold(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(withhold),
        Value::Object(members) => {
            if let Some(id) = members.get_mut("external_id") {
                *id = Value::Null;
            }
            if let Some(metadata) = members.get_mut("metadata") {
                *metadata = Value::Object(Map::new());
            }
            members.values_mut().for_each(withhold);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What somebody looks for by what an operator's systems call it.
///
/// # Errors
/// If it is a person who looks.
pub(super) fn looked_for(call: &Call, external_id: Option<&str>) -> Result<(), Failure> {
    match (call.caller.person(), external_id) {
        (Some(_), Some(_)) => {
            let what = "`external_id`: what the operators' systems call something is for them";
            Err(Failure::of(FailureKind::Forbidden, what))
        }
        _ => Ok(()),
    }
}

/// What is called so, or nothing.
pub(super) fn found(answer: Result<Annotated, StoreError>) -> Result<Option<Annotated>, Failure> {
    match answer {
        Ok(about) => Ok(Some(about)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
