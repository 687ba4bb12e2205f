//! Synq: the products, orders, inventory and integrations of an organization.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::answer::{Answer, Problem, json_answer};
use crate::call::Call;
use crate::guard::Environment;
use crate::id;
use crate::shelf::{self, Record, Shelf, object, page};

const KINDS: [&str; 4] = ["products", "orders", "inventory", "integrations"];
/// Fields that the server sets; in a body they are ignored.
const OURS: [&str; 5] = ["id", "tenant_id", "org_id", "created_at", "updated_at"];

pub(crate) fn answer(call: &Call<'_>, shelf: &Shelf) -> Result<Answer, Problem> {
    match *call.segments() {
        ["api", "v1", "organization", "members"] => match call.method {
            Method::GET => Ok(members(call)),
            _ => call.other_method("GET, HEAD"),
        },
        ["api", "v1", name] => match (kind(name)?, &call.method) {
            (kind, &Method::GET) => list(call, shelf, kind),
            (kind, &Method::POST) => create(call, shelf, kind),
            _ => call.other_method("GET, HEAD, POST"),
        },
        ["api", "v1", name, id] => match (kind(name)?, &call.method) {
            (kind, &(Method::GET | Method::PATCH | Method::DELETE)) => one(call, shelf, kind, id),
            _ => call.other_method("GET, HEAD, PATCH, DELETE"),
        },
        _ => Err(Problem::not_found()),
    }
}

fn kind(name: &str) -> Result<&'static str, Problem> {
    KINDS.into_iter().find(|kind| *kind == name).ok_or_else(Problem::not_found)
}

fn members(call: &Call<'_>) -> Answer {
    let caller = call.caller;
    let member = json!({
        "uid": caller.sub, "email": null, "role": caller.role, "state": "active", "created_at": call.now.to_string(),
    });
    json_answer(StatusCode::OK, &json!([member]))
}

fn list(call: &Call<'_>, shelf: &Shelf, kind: &'static str) -> Result<Answer, Problem> {
    let limit = call.number("limit", 50, 1..=100)?;
    let offset = call.number("offset", 0, 0..=usize::MAX)?;
    shelf.with(call, kind, seed, |records| {
        let data = page(records, offset, limit);
        let body = json!({"data": data, "total": records.len(), "limit": limit, "offset": offset});
        Ok(json_answer(StatusCode::OK, &body))
    })
}

fn create(call: &Call<'_>, shelf: &Shelf, kind: &'static str) -> Result<Answer, Problem> {
    let record = stamp(call, fields(call)?)?;
    shelf.with(call, kind, seed, |records| {
        records.push(record.clone());
        Ok(json_answer(StatusCode::CREATED, &Value::Object(record)))
    })
}

fn one(call: &Call<'_>, shelf: &Shelf, kind: &'static str, id: &str) -> Result<Answer, Problem> {
    let changes = if call.method == Method::PATCH { fields(call)? } else { Record::new() };
    shelf.with(
        call,
        kind,
        seed, // The same for an id of another organization as for one that exists nowhere: both are not here.
        |records| shelf::one(call, records, id, changes, "updated_at").ok_or_else(outside),
    )
}

fn outside() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "Resource does not belong to this organization")
}

/// The fields in the body. One that names another tenant or organization is refused, not overwritten.
fn fields(call: &Call<'_>) -> Result<Record, Problem> {
    let mut fields = call.fields()?;
    let foreign = |name: &str, own: &str| fields.get(name).is_some_and(|value| value != own);
    if foreign("tenant_id", &call.caller.tenant_id) || foreign("org_id", &call.caller.org_id) {
        return Err(outside());
    }
    fields.retain(|name, _| !OURS.contains(&name.as_str()));
    Ok(fields)
}

fn stamp(call: &Call<'_>, mut record: Record) -> Result<Record, Problem> {
    let time = call.now.to_string();
    record.insert("id".into(), id::uuid()?.into());
    record.insert("tenant_id".into(), call.caller.tenant_id.clone().into());
    record.insert("org_id".into(), call.caller.org_id.clone().into());
    record.insert("created_at".into(), time.clone().into());
    record.insert("updated_at".into(), time.into());
    Ok(record)
}

/// The first records of an organization; the sandbox's can be told apart at sight.
fn seed(call: &Call<'_>, kind: &str) -> Result<Vec<Record>, Problem> {
    let mark = match call.caller.environment {
        Environment::Live => "",
        Environment::Test => "Sandbox ",
    };
    let records = match kind {
        "products" => vec![
            json!({"name": format!("{mark}Olive oil, 1 l"), "sku": "OIL-1", "price": 12.5, "currency": "EUR"}),
            json!({"name": format!("{mark}Sea salt, 500 g"), "sku": "SALT-500", "price": 3.2, "currency": "EUR"}),
            json!({"name": format!("{mark}Green tea, 100 g"), "sku": "TEA-100", "price": 7.9, "currency": "EUR"}),
        ],
        "orders" => vec![
            json!({"number": format!("{mark}1001"), "status": "paid", "total": 28.2, "currency": "EUR"}),
            json!({"number": format!("{mark}1002"), "status": "open", "total": 7.9, "currency": "EUR"}),
        ],
        "inventory" => vec![
            json!({"sku": "OIL-1", "quantity": 40, "location": format!("{mark}Warehouse North")}),
            json!({"sku": "TEA-100", "quantity": 12, "location": format!("{mark}Warehouse South")}),
        ],
        _ => vec![json!({"name": format!("{mark}Web shop"), "status": "connected"})],
    };
    records.into_iter().map(|record| stamp(call, object(record))).collect()
}
