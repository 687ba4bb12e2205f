//! An API as OpenAPI 3.1 says it: its routes with what each asks for, what people ask at its host, and what Claviger answers in its place.

use claviger::envelope::Layout;
use claviger::route::{Level, Route};
use http::Method;
use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

use crate::config::{ServedApi, Service};
use crate::gateway::places;
use crate::management::addresses::{ConfirmEmail, NewEmail};
use crate::management::own_keys::{NewOwnKey, OwnKey, OwnKeyMade, OwnKeyUpdate, OwnRotation, OwnSecret};
use crate::management::people::{NewPassword, OwnSession, Refresh, SignIn, SignUp, SignedIn};
use crate::management::proofs::{Accept, Mailed, Reset, Verify};
use crate::management::self_service::{Change, Invite, MemberShown, NewOrganization};

fn schema<T: PartialSchema>() -> Value {
    serde_json::to_value(T::schema()).unwrap_or_default()
}

fn named<T: ToSchema>() -> Value {
    json!({ "$ref": format!("#/components/schemas/{}", T::name()) })
}

/// What is sent and answered somewhere: the body, the status of success, and its body.
struct Exchanged {
    about: &'static str,
    sent: Option<Value>,
    status: &'static str,
    answered: Option<Value>,
}

fn list_of(item: &Value) -> Value {
    json!({ "type": "array", "items": item })
}

fn text_object(properties: &[(&str, Value)]) -> Value {
    let names: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> =
        properties.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "required": names, "properties": properties })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn maybe_text() -> Value {
    json!({ "type": ["string", "null"] })
}

/// What people ask under `/auth/v1/`, by its path there.
fn of_people(path: &str) -> Option<Exchanged> {
    let tokens = Some(named::<SignedIn>());
    let about_a_token = Some(text_object(&[("token", text())]));
    let (about, sent, status, answered) = match path {
        "sign-up" => {
            ("Make an account, a tenant and its first organization", Some(named::<SignUp>()), "201", tokens)
        }
        "verify" => ("Prove an address by the link in a mail", Some(named::<Verify>()), "200", tokens),
        "verify/resend" => ("Have that link mailed again", Some(named::<Mailed>()), "202", None),
        "password/forgot" => {
            ("Have a link for another password mailed", Some(named::<Mailed>()), "202", None)
        }
        "password/reset" => ("Choose another password by that link", Some(named::<Reset>()), "204", None),
        "invitations/accept" => ("Accept an invitation", Some(named::<Accept>()), "200", tokens),
        "sign-in" => ("Sign in", Some(named::<SignIn>()), "200", tokens),
        "refresh" => {
            ("Get new tokens, here or in another organization", Some(named::<Refresh>()), "200", tokens)
        }
        "revoke" => ("Make a token worthless (RFC 7009)", about_a_token, "200", None),
        "introspect" => {
            let answer = json!({ "type": "object", "required": ["active"], "properties": { "active": { "type": "boolean" } } });
            ("Ask what a credential is (RFC 7662)", about_a_token, "200", Some(answer))
        }
        "sign-out" => ("End this session", None, "204", None),
        "password" => {
            ("Choose another password by the present one", Some(named::<NewPassword>()), "204", None)
        }
        "email" => (
            "Have a link mailed to another address, for one's account",
            Some(named::<NewEmail>()),
            "202",
            None,
        ),
        "email/confirm" => ("Have that address, by the link", Some(named::<ConfirmEmail>()), "204", None),
        "sessions" => ("List one's own sessions", None, "200", Some(list_of(&named::<OwnSession>()))),
        "sessions/{session}" => ("End one of one's own sessions", None, "204", None),
        _ => return None,
    };
    Some(Exchanged { about, sent, status, answered })
}

/// What Claviger answers in the API's place.
fn of_service(service: Service, method: &Method) -> Exchanged {
    let organization = text_object(&[
        ("id", text()),
        ("tenant_id", text()),
        ("name", text()),
        ("state", text()),
        ("created_at", text()),
    ]);
    let token = text_object(&[("token", text()), ("issuedAt", text()), ("lastUsedAt", maybe_text())]);
    let (about, sent, status, answered) = match (service, method) {
        (Service::Members, &Method::GET) => {
            ("List the members of the organization", None, "200", Some(list_of(&named::<MemberShown>())))
        }
        (Service::Members, _) => {
            let answer = text_object(&[("message", text()), ("uid", text())]);
            ("Invite somebody into the organization", Some(named::<Invite>()), "201", Some(answer))
        }
        (Service::Member, &Method::DELETE) => ("Take a member out of the organization", None, "204", None),
        (Service::Member, _) => {
            ("Change a member's role or state", Some(named::<Change>()), "200", Some(named::<MemberShown>()))
        }
        (Service::Organizations, &Method::GET) => {
            let number = json!({ "type": "integer" });
            let list = text_object(&[
                ("data", list_of(&organization)),
                ("total", number.clone()),
                ("limit", number.clone()),
                ("offset", number),
            ]);
            ("List the organizations of the tenant that one acts in", None, "200", Some(list))
        }
        (Service::Organizations, _) => (
            "Make an organization in the tenant",
            Some(named::<NewOrganization>()),
            "201",
            Some(organization),
        ),
        (Service::Audit, _) => {
            let entry = text_object(&[
                ("id", text()),
                ("actor_email", maybe_text()),
                ("action", text()),
                ("entity_type", text()),
                ("entity_id", text()),
                ("details", json!({ "type": "object" })),
                ("ip_address", maybe_text()),
                ("created_at", text()),
            ]);
            ("List what happened, most recent first", None, "200", Some(list_of(&entry)))
        }
        (Service::Keys, &Method::GET) => {
            let number = json!({ "type": "integer" });
            let more = json!({ "type": "boolean" });
            let pagination = json!({
                "type": "object",
                "required": ["page", "limit", "total", "totalPages", "hasMore"],
                "properties": {
                    "page": number, "limit": number, "total": number, "totalPages": number, "hasMore": more,
                },
            });
            let list = text_object(&[("data", list_of(&named::<OwnKey>())), ("pagination", pagination)]);
            ("List the keys of the organization on one's own side of the sandbox", None, "200", Some(list))
        }
        (Service::Keys, _) => (
            "Make a key, shown this once, that may do no more than whoever asks",
            Some(named::<NewOwnKey>()),
            "201",
            Some(named::<OwnKeyMade>()),
        ),
        (Service::Key, &Method::GET) => ("Show a key", None, "200", Some(named::<OwnKey>())),
        (Service::Key, &Method::DELETE) => ("End a key for good", None, "204", None),
        (Service::Key, _) => (
            "Change a key's name, what it may do, from where, or until when",
            Some(named::<OwnKeyUpdate>()),
            "200",
            Some(named::<OwnKey>()),
        ),
        (Service::KeyRotate, _) => (
            "Make a new secret, shown this once; the old one goes on for the grace",
            Some(named::<OwnRotation>()),
            "200",
            Some(named::<OwnKeyMade>()),
        ),
        (Service::KeyRevokeOld, _) => {
            ("End the grace of a rotated key's old secret now", None, "200", Some(named::<OwnKey>()))
        }
        (Service::AccountToken, _) => ("Show one's own user token", None, "200", Some(token)),
        (Service::AccountTokenRegenerate, _) => {
            ("Have one's own user token made anew; every one before is refused", None, "200", Some(token))
        }
    };
    Exchanged { about, sent, status, answered }
}

/// A body as the API answers it.
fn shaped(layout: Layout, answered: Value) -> Value {
    match layout {
        Layout::SuccessFalse => json!({
            "type": "object",
            "required": ["success", "data"],
            "properties": { "success": { "const": true }, "data": answered },
        }),
        _ => answered,
    }
}

/// The same with one member more.
fn with(mut object: Value, name: &str, value: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
    object
}

fn body(schema: &Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn described(exchanged: &Exchanged, layout: Option<Layout>, parameters: &[Value]) -> Value {
    let mut response = json!({ "description": "Done." });
    if let Some(answered) = &exchanged.answered {
        let answered = layout.map_or_else(|| answered.clone(), |layout| shaped(layout, answered.clone()));
        response = with(response, "content", body(&answered));
    }
    let mut operation = json!({
        "summary": exchanged.about,
        "responses": { exchanged.status: response, "default": { "$ref": "#/components/responses/Refused" } },
    });
    if let Some(sent) = &exchanged.sent {
        operation = with(operation, "requestBody", json!({ "required": true, "content": body(sent) }));
    }
    if !parameters.is_empty() {
        operation = with(operation, "parameters", parameters.into());
    }
    operation
}

/// A pattern as OpenAPI has it, and its parameters.
fn path_of(pattern: &str) -> (String, Vec<Value>) {
    let path = pattern.replace("{*", "{");
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let one =
        |name: &str| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    let parameters = names.map(one).collect();
    (path, parameters)
}

/// One method of a route.
fn of_route(served: &ServedApi, route: &Route, method: &Method) -> Value {
    let (path, parameters) = path_of(&route.path);
    let service = served.services.iter().find(|(own, _)| *own == route.path).map(|(_, service)| *service);
    let layout = served.api.envelope.layout();
    let mut operation = match service {
        Some(service) => described(&of_service(service, method), Some(layout), &parameters),
        None => {
            let mut operation = json!({
                "summary": format!("{method} {path}"),
                "responses": {
                    "2XX": { "description": "As the API answers." },
                    "default": { "$ref": "#/components/responses/Refused" },
                },
            });
            if !parameters.is_empty() {
                operation = with(operation, "parameters", parameters.into());
            }
            operation
        }
    };
    match route.level(method) {
        Some(Level::Needs(access)) => {
            let needs = format!("Needs `{}` on `{}`.", access.as_str(), route.resource);
            operation = with(operation, "description", needs.into());
        }
        _ => operation = with(operation, "security", json!([])),
    }
    operation
}

fn errors(layout: Layout) -> Value {
    let error = text_object(&[("code", text()), ("message", text())]);
    match layout {
        Layout::ErrorText => text_object(&[("error", text())]),
        Layout::ErrorObject => text_object(&[("error", error)]),
        Layout::SuccessFalse => text_object(&[("success", json!({ "const": false })), ("error", error)]),
        _ => text_object(&[
            ("type", text()),
            ("title", text()),
            ("status", json!({ "type": "integer" })),
            ("code", text()),
        ]),
    }
}

/// The description of an API, as it is served by these settings.
pub(crate) fn api_document(served: &ServedApi) -> Value {
    let api = &served.api;
    let mut paths: Map<String, Value> = Map::new();
    let mut put = |path: &str, method: &Method, operation: Value| {
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        if let Some(methods) = methods.as_object_mut() {
            methods.insert(method.as_str().to_lowercase(), operation);
        }
    };
    for route in api.routes.routes() {
        for method in &route.methods {
            put(&path_of(&route.path).0, method, of_route(served, route, method));
        }
    }
    let mut schemas: Map<String, Value> = Map::new();
    macro_rules! add {
        ($($named:ty),+) => { $(schemas.insert(<$named>::name().into_owned(), schema::<$named>());)+ };
    }
    if served.services.iter().any(|(_, service)| service.is_about_keys()) {
        add!(OwnKey, OwnSecret, OwnKeyMade, NewOwnKey, OwnKeyUpdate, OwnRotation);
    }
    if served.sign_in.is_some() {
        for (method, path, asks_who) in places() {
            let name = path.strip_prefix("/auth/v1/").unwrap_or_default();
            let Some(exchanged) = of_people(name) else { continue };
            let (path, parameters) = path_of(&path);
            let mut operation = described(&exchanged, None, &parameters);
            if !asks_who {
                operation = with(operation, "security", json!([]));
            }
            put(&path, &method, operation);
        }
        add!(
            SignUp,
            NewEmail,
            ConfirmEmail,
            SignIn,
            SignedIn,
            Refresh,
            NewPassword,
            OwnSession,
            Verify,
            Mailed,
            Reset,
            Accept,
            MemberShown,
            Invite,
            Change,
            NewOrganization
        );
    }
    schemas.insert("Error".into(), errors(api.envelope.layout()));
    let servers: Vec<Value> =
        served.hosts.iter().map(|host| json!({ "url": format!("https://{host}") })).collect();
    json!({
        "openapi": "3.1.0",
        "info": { "title": api.name, "version": env!("CARGO_PKG_VERSION") },
        "servers": servers,
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas,
            "responses": {
                "Refused": {
                    "description": "Why it was not done.",
                    "content": {
                        (if api.envelope.layout() == Layout::Problem { "application/problem+json" } else { "application/json" }): {
                            "schema": { "$ref": "#/components/schemas/Error" },
                        },
                    },
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_people_ask_is_described() {
        for (_, path, _) in places() {
            let name = path.strip_prefix("/auth/v1/").unwrap();
            assert!(of_people(name).is_some(), "`{name}` is not described");
        }
    }

    #[test]
    fn a_pattern_has_its_parameters() {
        let (path, parameters) = path_of("/a/{id}/{*rest}");
        assert_eq!((path.as_str(), parameters.len()), ("/a/{id}/{rest}", 2));
    }
}
