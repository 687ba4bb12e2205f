//! What the tenants have stored. It lives in memory and ends with the server.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};

use hyper::{Method, StatusCode};
use serde_json::{Map, Value};

use crate::answer::{Answer, Problem, json_answer, no_content};
use crate::api::Api;
use crate::call::Call;
use crate::guard::{Caller, Environment};

/// A stored record, with all the fields it is answered with.
pub(crate) type Record = Map<String, Value>;

/// Whose records: nothing is shared between two places. It is made from the verified claims alone, so no
/// header, path, query or body can name another one.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Place {
    api: Api,
    realm: String,
    tenant: String,
    organization: String,
    environment: Environment,
}

impl Place {
    fn of(caller: &Caller) -> Self {
        Self {
            api: caller.aud,
            realm: caller.realm.clone(),
            tenant: caller.tenant_id.clone(),
            organization: caller.org_id.clone(),
            environment: caller.environment,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<HashMap<(Place, &'static str), Vec<Record>>>);

impl Shelf {
    /// Gives the caller's own records of one kind to `work`. At first sight they are those of `seed`.
    pub(crate) fn with<T>(
        &self,
        call: &Call<'_>,
        kind: &'static str,
        seed: fn(&Call<'_>, &str) -> Result<Vec<Record>, Problem>,
        work: impl FnOnce(&mut Vec<Record>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let records = match shelf.entry((Place::of(call.caller), kind)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(seed(call, kind)?),
        };
        work(records)
    }
}

/// Where the record with this id is.
pub(crate) fn position(records: &[Record], id: &str) -> Option<usize> {
    records.iter().position(|record| record.get("id").and_then(Value::as_str) == Some(id))
}

/// One page: at most `limit` records from `offset` on.
pub(crate) fn page(records: &[Record], offset: usize, limit: usize) -> Vec<Record> {
    records.iter().skip(offset).take(limit).cloned().collect()
}

/// Answers `GET`, `PATCH` (with `changes`) and `DELETE` of one record. `None`: it is not here.
/// `updated`: the field with the time of the last change.
pub(crate) fn one(
    call: &Call<'_>,
    records: &mut Vec<Record>,
    id: &str,
    changes: Record,
    updated: &str,
) -> Option<Answer> {
    let at = position(records, id)?;
    if call.method == Method::DELETE {
        records.remove(at);
        return Some(no_content());
    }
    let record = records.get_mut(at)?;
    if call.method == Method::PATCH {
        record.extend(changes);
        record.insert(updated.into(), call.now.to_string().into());
    }
    Some(json_answer(StatusCode::OK, &Value::Object(record.clone())))
}

/// The fields of a JSON object; none, of anything else.
pub(crate) fn object(value: Value) -> Record {
    if let Value::Object(record) = value { record } else { Record::new() }
}
