//! Synaptiq: leads and the conversations with them.

use std::collections::BTreeMap;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::answer::{Answer, Problem, json_answer};
use crate::call::Call;
use crate::guard::Environment;
use crate::id;
use crate::shelf::{self, Record, Shelf, object, page, position};

const LEADS: &str = "leads";
const CONVERSATIONS: &str = "conversations";
const STATUSES: [&str; 5] = ["new", "qualified", "contacted", "converted", "lost"];
const SOURCES: [&str; 4] = ["chat", "api", "import", "form"];

pub(crate) fn answer(call: &Call<'_>, shelf: &Shelf) -> Result<Answer, Problem> {
    match (&*call.segments(), &call.method) {
        (["api", "v1", "leads"], &Method::GET) => shelf.with(call, LEADS, seed, |leads| list(call, leads)),
        (["api", "v1", "leads"], &Method::POST) => create(call, shelf),
        (["api", "v1", "leads"], _) => call.other_method("GET, HEAD, POST"),
        (["api", "v1", "leads", id], &(Method::GET | Method::PATCH | Method::DELETE)) => one(call, shelf, id),
        (["api", "v1", "leads", _], _) => call.other_method("GET, HEAD, PATCH, DELETE"),
        (["api", "v1", "chat"], &Method::POST) => chat(call, shelf),
        (["api", "v1", "chat"], _) => call.other_method("POST"),
        (["api", "v1", "conversations"], &Method::GET) => {
            shelf.with(call, CONVERSATIONS, seed, |records| list(call, records))
        }
        (["api", "v1", "analytics", "overview"], &Method::GET) => overview(call, shelf),
        (["api", "v1", "keys" | "webhooks"], &Method::GET) => list(call, &[]),
        (
            ["api", "v1", "conversations" | "keys" | "webhooks"] | ["api", "v1", "analytics", "overview"],
            _,
        ) => call.other_method("GET, HEAD"),
        _ => Err(Problem::not_found()),
    }
}

fn list(call: &Call<'_>, records: &[Record]) -> Result<Answer, Problem> {
    let page_number = call.number("page", 1, 1..=usize::MAX)?;
    let limit = call.number("limit", 25, 1..=100)?;
    let total = records.len();
    let offset = (page_number - 1).saturating_mul(limit);
    let pagination = json!({
        "page": page_number, "limit": limit, "total": total, "totalPages": total.div_ceil(limit),
        "hasMore": offset.saturating_add(limit) < total,
    });
    let body = json!({"data": page(records, offset, limit), "pagination": pagination});
    Ok(json_answer(StatusCode::OK, &body))
}

fn create(call: &Call<'_>, shelf: &Shelf) -> Result<Answer, Problem> {
    let lead = new_lead(call, fields(call)?)?;
    shelf.with(call, LEADS, seed, |leads| {
        leads.push(lead.clone());
        Ok(json_answer(StatusCode::CREATED, &Value::Object(lead)))
    })
}

fn one(call: &Call<'_>, shelf: &Shelf, id: &str) -> Result<Answer, Problem> {
    let changes = if call.method == Method::PATCH { fields(call)? } else { Record::new() };
    shelf.with(call, LEADS, seed, |leads| {
        shelf::one(call, leads, id, changes, "updatedAt").ok_or_else(Problem::not_found)
    })
}

/// Begins a conversation, or goes on with one of the caller's own.
fn chat(call: &Call<'_>, shelf: &Shelf) -> Result<Answer, Problem> {
    let fields = call.fields()?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let message = text("message").ok_or_else(|| Problem::bad_request("`message` must be a text"))?;
    let new_id = id::ulid("conv_", call.now)?;
    let now = call.now.to_string();
    shelf.with(call, CONVERSATIONS, seed, |conversations| {
        let at = match text("conversationId") {
            Some(id) => position(conversations, id).ok_or_else(Problem::not_found)?,
            None => {
                conversations.push(object(json!({
                    "id": new_id, "status": "active", "messageCount": 0, "createdAt": now, "updatedAt": now,
                })));
                conversations.len() - 1
            }
        };
        let conversation = conversations.get_mut(at).ok_or_else(Problem::not_found)?;
        let count = conversation.get("messageCount").and_then(Value::as_u64).unwrap_or_default() + 2;
        conversation.insert("messageCount".into(), count.into());
        conversation.insert("updatedAt".into(), now.into());
        let reply = format!("You said: {message}");
        let body = json!({"conversationId": conversation.get("id"), "reply": reply});
        Ok(json_answer(StatusCode::OK, &body))
    })
}

fn overview(call: &Call<'_>, shelf: &Shelf) -> Result<Answer, Problem> {
    let leads = shelf.with(call, LEADS, seed, |leads| {
        let mut by_status = BTreeMap::<String, usize>::new();
        for status in leads.iter().filter_map(|lead| lead.get("status")?.as_str()) {
            *by_status.entry(status.to_owned()).or_default() += 1;
        }
        Ok(json!({"total": leads.len(), "byStatus": by_status}))
    })?;
    let conversations = shelf.with(call, CONVERSATIONS, seed, |records| {
        let messages: u64 =
            records.iter().filter_map(|conversation| conversation.get("messageCount")?.as_u64()).sum();
        Ok(json!({"total": records.len(), "messages": messages}))
    })?;
    Ok(json_answer(StatusCode::OK, &json!({"leads": leads, "conversations": conversations})))
}

/// The fields of a lead in the body: those a client may set, each of its type.
fn fields(call: &Call<'_>) -> Result<Record, Problem> {
    let fields = call.fields()?;
    for (name, value) in &fields {
        let good = match (name.as_str(), value) {
            ("name" | "company" | "title" | "phone", Value::String(_)) | ("score", Value::Number(_)) => true,
            ("email", Value::String(email)) => email.contains('@'),
            ("status", Value::String(status)) => STATUSES.contains(&status.as_str()),
            ("source", Value::String(source)) => SOURCES.contains(&source.as_str()),
            ("tags", Value::Array(tags)) => tags.iter().all(Value::is_string),
            ("customFields", Value::Object(_)) => true,
            _ => false,
        };
        if !good {
            return Err(Problem::bad_request(format!(
                "`{name}` is not a field of a lead, or not of its type"
            )));
        }
    }
    Ok(fields)
}

fn new_lead(call: &Call<'_>, fields: Record) -> Result<Record, Problem> {
    let now = call.now.to_string();
    let mut lead = object(json!({
        "id": id::ulid("lead_", call.now)?, "email": null, "name": null, "company": null, "title": null,
        "phone": null, "status": "new", "score": 0, "source": "api", "tags": [], "customFields": {},
        "createdAt": now, "updatedAt": now,
    }));
    lead.extend(fields);
    Ok(lead)
}

/// The first leads of an organization, the sandbox's to be told apart at sight. Nobody has said anything yet.
fn seed(call: &Call<'_>, kind: &str) -> Result<Vec<Record>, Problem> {
    if kind != LEADS {
        return Ok(Vec::new());
    }
    let tenant = &call.caller.tenant_id;
    let (mark, domain) = match call.caller.environment {
        Environment::Live => ("", "example.com"),
        Environment::Test => ("Sandbox ", "sandbox.example.com"),
    };
    let tags = json!([format!("tenant:{tenant}")]);
    let leads = [
        json!({"name": format!("{mark}First lead"), "email": format!("first@{domain}"), "company": "Sample company",
               "status": "qualified", "score": 80, "source": "form", "tags": tags}),
        json!({"name": format!("{mark}Second lead"), "email": format!("second@{domain}"), "company": "Another company",
               "score": 35, "source": "chat", "tags": tags}),
    ];
    leads.into_iter().map(|fields| new_lead(call, object(fields))).collect()
}
