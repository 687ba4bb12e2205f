//! The management API as OpenAPI 3.1 says it, made of the operations there are.

use serde_json::{Map, Value, json};

use crate::management::{Operation, PersonRole, Role, operations};

/// The names in braces of a path.
fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// The description of the whole API.
pub fn openapi() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(methods) = path.as_object_mut() {
            methods.insert(operation.method.as_str().to_lowercase(), described(&operation));
        }
    }
    let mut schemas: Map<String, Value> = Map::new();
    schemas.insert("Problem".into(), problem());
    for (name, schema) in operations().iter().flat_map(|operation| (operation.parts)()) {
        schemas.insert(name, serde_json::to_value(schema).unwrap_or_default());
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Claviger management API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What operators, people who are signed in at the console, and their programs ask of a Claviger server, on the address of its console.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "operator": [] }, { "person": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "operator": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token of an operator, as `claviger operator create` shows it once.",
                },
                "person": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token of somebody who is signed in at the console, as `POST /v1/people/sign-in` gives it. It is good at no API.",
                },
            },
            "schemas": schemas,
            "parameters": {
                "IdempotencyKey": {
                    "name": "Idempotency-Key", "in": "header", "required": false, "schema": { "type": "string" },
                    "description": "Under one key a thing is done once within a day, however often it is asked for: afterwards the first answer is given again, without what is shown once. 1 to 255 visible characters; a new UUID for each thing.",
                },
                "Wait": {
                    "name": "wait", "in": "query", "required": false, "schema": { "type": "string", "enum": ["all"] },
                    "description": "Answer when every server has applied the change, or after 10 seconds. `Prefer: wait` asks for the same (RFC 7240).",
                },
                "IfMatch": {
                    "name": "If-Match", "in": "header", "required": false, "schema": { "type": "string" },
                    "description": "Do it only if this `ETag` is still the thing's own (RFC 9110); 412 otherwise.",
                },
            },
            "headers": {
                "ETag": { "schema": { "type": "string" }, "description": "Its `version`, in quotes." },
                "Revision": { "schema": { "type": "string" }, "description": "How far the store's changes have come with this one; opaque." },
                "Behind": { "schema": { "type": "string" }, "description": "Which servers had not applied it, if that was waited for." },
                "Replayed": { "schema": { "type": "string", "enum": ["true"] }, "description": "It was done when it was asked for before, and not again." },
            },
            "responses": {
                "Problem": {
                    "description": "Why it was not done (RFC 9457). Nothing was changed, save where `detail` says that this is not known.",
                    "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
                },
            },
        },
    })
}

fn problem() -> Value {
    let text = |about: &str| json!({ "type": "string", "description": about });
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "request_id"],
        "properties": {
            "type": text("`about:blank`: `code` says more."),
            "title": text("The status in words."),
            "status": { "type": "integer", "description": "The status." },
            "detail": text("What is wrong."),
            "code": {
                "type": "string",
                "enum": ["invalid_request", "unauthenticated", "forbidden", "not_found", "method_not_allowed", "conflict",
                    "precondition_failed", "idempotency_key_reused", "too_many",
                    "request_timeout", "content_too_large", "unsupported_media_type", "internal", "unavailable"],
                "description": "What kind of failure it is.",
            },
            "hint": text("What to do about it."),
            "field": text("Which argument is wrong."),
            "request_id": text("What the answer's `X-Request-Id` says too."),
        },
    })
}

/// The schema of an answer: what there is stands in `data`, and beside a list where it goes on.
fn wrapped(mut output: Value) -> Value {
    let properties = output.get_mut("properties").and_then(Value::as_object_mut);
    match properties.and_then(|properties| Some((properties.remove("items")?, properties))) {
        Some((items, properties)) => {
            properties.insert("data".to_owned(), items);
            if let Some(members) = output.as_object_mut() {
                members.insert("required".to_owned(), json!(["data"]));
            }
            output
        }
        None => json!({ "type": "object", "required": ["data"], "properties": { "data": output } }),
    }
}

/// The schema of what is given, apart: properties and which of them have to be there.
fn given(operation: &Operation) -> (Map<String, Value>, Vec<String>) {
    let schema = serde_json::to_value((operation.input)()).unwrap_or_default();
    let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    (properties, required.filter_map(Value::as_str).map(str::to_owned).collect())
}

fn described(operation: &Operation) -> Value {
    let (mut properties, required) = given(operation);
    let is_required = |name: &str| required.iter().any(|other| other == name);
    let parameter = |place: &str, name: &str, mut schema: Value| {
        let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let is_required = place == "path" || is_required(name);
        let mut said = json!({ "name": name, "in": place, "required": is_required, "schema": schema });
        if let (Some(members), Some(about)) = (said.as_object_mut(), about) {
            members.insert("description".into(), about);
        }
        said
    };
    let mut parameters = Vec::new();
    for name in names_in(operation.path) {
        let schema = properties.remove(name).unwrap_or_else(|| json!({ "type": "string" }));
        parameters.push(parameter("path", name, schema));
    }
    let changes = operation.method != http::Method::GET;
    let further =
        [("IdempotencyKey", changes), ("Wait", changes), ("IfMatch", operation.takes("if_version"))];
    let further = further.iter().filter(|(_, is_taken)| *is_taken);
    parameters.extend(further.map(|(name, _)| json!({ "$ref": format!("#/components/parameters/{name}") })));
    let mut body = None;
    if operation.takes_a_query() {
        parameters.extend(properties.iter().map(|(name, schema)| parameter("query", name, schema.clone())));
    } else if !properties.is_empty() {
        let required: Vec<&String> = required.iter().filter(|name| properties.contains_key(*name)).collect();
        let is_required = !required.is_empty();
        let schema = json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        });
        body =
            Some(json!({ "required": is_required, "content": { "application/json": { "schema": schema } } }));
    }
    let status = if operation.makes_something() { "201" } else { "200" };
    let output = wrapped(serde_json::to_value((operation.output)()).unwrap_or_default());
    let role = match operation.least {
        _ if operation.is_open() => "anybody",
        Role::Reader => "any operator",
        Role::Support => "operators with the role support or owner",
        Role::Owner => "operators with the role owner",
    };
    let people = match operation.person {
        None => String::new(),
        Some(PersonRole::Stranger) => String::new(),
        Some(least) => format!(", and for {} who is signed in at the console", least.whom()),
    };
    let header = |name: &str| json!({ "$ref": format!("#/components/headers/{name}") });
    let mut headers: Map<String, Value> = Map::new();
    if changes {
        headers.insert("X-Claviger-Revision".into(), header("Revision"));
        headers.insert("X-Claviger-Behind".into(), header("Behind"));
        headers.insert("Idempotency-Replayed".into(), header("Replayed"));
    }
    if output.to_string().contains("`If-Match`") {
        headers.insert("ETag".into(), header("ETag"));
    }
    let noun = operation.id.split('.').next().unwrap_or_default();
    let mut said = json!({
        "operationId": operation.id,
        "tags": [noun],
        "summary": operation.about,
        "description": format!("For {role}{people}."),
        "responses": {
            status: {
                "description": "Done.",
                "headers": headers,
                "content": { "application/json": { "schema": output } },
            },
            "default": { "$ref": "#/components/responses/Problem" },
        },
    });
    if let Some(members) = said.as_object_mut() {
        match operation.person {
            // Nobody is asked who they are.
            Some(PersonRole::Stranger) => drop(members.insert("security".into(), json!([]))),
            Some(_) => {}
            None => drop(members.insert("security".into(), json!([{ "operator": [] }]))),
        }
        if !parameters.is_empty() {
            members.insert("parameters".into(), parameters.into());
        }
        if let Some(body) = body {
            members.insert("requestBody".into(), body);
        }
    }
    said
}
