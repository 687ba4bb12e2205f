//! Three APIs as people configure them: identity tokens, scoped keys, and a token per user.

use std::sync::Arc;

use http::Method;

use crate::api::{Api, ApiSettings, Roles, TokenRules};
use crate::code::Code;
use crate::credential::CredentialKind;
use crate::envelope::{Envelope, Layout};
use crate::grants::Access;
use crate::limit_rule::{Amount, Form, LimitRule, Per, PerAccess};
use crate::route::{Level, Paths, Route, RouteAccess, RouteTable, Unlisted};
use crate::target::Oddities;

/// What one route of a test API says: path, resource, methods.
type Line = (&'static str, &'static str, &'static [Method]);

const LIST: &[Method] = &[Method::GET, Method::POST];
const ITEM: &[Method] = &[Method::GET, Method::PATCH, Method::DELETE];
const LOOK: &[Method] = &[Method::GET];
const DO: &[Method] = &[Method::POST];

#[expect(clippy::expect_used, reason = "the texts stand in this file")]
fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name as written in this file")
}

fn routes(lines: &[Line], access: impl Fn(&str) -> Option<Access>) -> Vec<Route> {
    let route = |(path, resource, methods): &Line| Route {
        access: access(resource)
            .map_or(RouteAccess::Ladder, |access| RouteAccess::Every(Level::Needs(access))),
        ..Route::new(*path, parsed(resource), methods.to_vec())
    };
    lines.iter().map(route).collect()
}

/// The API of these settings.
///
/// # Panics
/// If they are none that can be served.
#[expect(clippy::expect_used, reason = "a test of what cannot be served asks for the error itself")]
pub fn api(settings: ApiSettings) -> Arc<Api> {
    Arc::new(Api::new(settings).expect("settings that can be served"))
}

/// Routes of a test API: lenient, with the ladder for what they do not list.
///
/// # Panics
/// If they clash.
#[expect(clippy::expect_used, reason = "a test of routes that clash asks for the error itself")]
pub fn table(routes: Vec<Route>) -> RouteTable {
    let ladder = Some(Unlisted::Ladder);
    RouteTable::new(routes, Paths::Lenient, ladder, Oddities::default()).expect("routes that do not clash")
}

fn roles(names: &[(&str, &str)]) -> Roles {
    let roles = names.iter().map(|(name, grants)| (parsed(name), parsed(grants)));
    #[expect(clippy::expect_used, reason = "the names stand in this file, each once")]
    Roles::new(roles.collect()).expect("different roles")
}

/// An API that takes `credentials` and has nothing else particular to it.
fn plain(name: &str, credentials: &[CredentialKind], layout: Layout, routes: Vec<Route>) -> ApiSettings {
    let credentials = credentials.iter().copied().collect();
    ApiSettings {
        identity_tokens: TokenRules {
            issuer: format!("https://{name}.example").into(),
            audience: name.into(),
            typ: "at+jwt".into(),
            lifetime_seconds: 3600,
        },
        roles: roles(&[
            ("ADMIN", "admin"),
            ("EDITOR", "read products:write orders:write inventory:write"),
            ("MEMBER", "read products:write orders:write inventory:write"),
            ("VIEWER", "read"),
        ]),
        envelope: Envelope::new(layout, None, Vec::new()),
        ..ApiSettings::new(parsed(name), parsed(name), credentials, table(routes))
    }
}

/// Synq: identity tokens with tenant, organization and role.
pub fn synq() -> ApiSettings {
    let lines: &[Line] = &[
        ("/api/v1/orders", "orders", LIST),
        ("/api/v1/orders/{id}", "orders", ITEM),
        ("/api/v1/products", "products", LIST),
        ("/api/v1/products/{id}", "products", ITEM),
        ("/api/v1/inventory", "inventory", LIST),
        ("/api/v1/integrations", "integrations", LIST),
        ("/api/v1/organization/members", "members", LIST),
        ("/api/v1/audit", "audit", LOOK),
    ];
    let texts = vec![
        (Code::Unauthorized, "Missing or invalid Authorization header".to_owned()),
        (Code::IdentityMissing, "Missing or invalid tenant/org headers".to_owned()),
    ];
    ApiSettings {
        envelope: Envelope::new(Layout::ErrorText, None, texts),
        ..plain("synq", &[CredentialKind::IdentityToken], Layout::ErrorText, routes(lines, |_| None))
    }
}

/// Synaptiq: scoped API keys over TLS, with limits by plan and scope.
pub fn synaptiq() -> ApiSettings {
    let lines: &[Line] = &[
        ("/api/v1/leads", "leads", LIST),
        ("/api/v1/leads/{id}", "leads", ITEM),
        ("/api/v1/chat", "chat", DO),
        ("/api/v1/conversations", "conversations", LOOK),
        ("/api/v1/analytics/overview", "analytics", LOOK),
        ("/api/v1/keys", "keys", LIST),
        ("/api/v1/keys/{id}", "keys", ITEM),
        ("/api/v1/webhooks", "webhooks", LIST),
    ];
    let managed = |resource: &str| matches!(resource, "keys" | "webhooks").then_some(Access::Admin);
    let amounts = |read, write, admin| PerAccess { read: Some(read), write: Some(write), admin: Some(admin) };
    let minute = LimitRule {
        name: "minute".into(),
        per: Per::Credential,
        form: Form::Sliding { window_millis: 60_000 },
        amount: Amount {
            by_plan: vec![
                (parsed("starter"), amounts(120, 60, 30)),
                (parsed("pro"), amounts(600, 300, 150)),
                (parsed("enterprise"), amounts(3000, 1500, 750)),
            ],
            otherwise: amounts(120, 60, 30),
        },
    };
    let texts = vec![
        (
            Code::Unauthorized,
            "Invalid or missing API key. Provide a valid Bearer token in the Authorization header."
                .to_owned(),
        ),
        (Code::Forbidden, "The API key does not have the required scope.".to_owned()),
    ];
    let docs = "https://synaptiqintel.com/docs/api-reference/authentication".to_owned();
    ApiSettings {
        limits: vec![minute],
        plans: ["starter", "pro", "enterprise"].map(parsed).into(),
        requires_https: true,
        roles: Roles::default(),
        envelope: Envelope::new(Layout::ErrorObject, Some(docs), texts),
        ..plain("synaptiq", &[CredentialKind::ApiKey], Layout::ErrorObject, routes(lines, managed))
    }
}

/// Syncello: a token per user, signed with the user's own secret; account pages take identity tokens alone.
pub fn syncello() -> ApiSettings {
    let lines: &[Line] = &[
        ("/v1/tools/{platform}/{tool}", "tools", DO),
        ("/v1/tools", "tools", LOOK),
        ("/v1/account/token", "account", LOOK),
    ];
    let mut routes = routes(lines, |_| None);
    for route in &mut routes {
        if route.resource.as_str() == "account" {
            route.credentials = Some([CredentialKind::IdentityToken].into_iter().collect());
        }
    }
    let texts = vec![
        (Code::Unauthorized, "Missing or invalid Authorization header".to_owned()),
        (Code::Forbidden, "Token does not have access to this resource".to_owned()),
    ];
    let kinds = [CredentialKind::IdentityToken, CredentialKind::UserToken];
    ApiSettings {
        roles: roles(&[("ADMIN", "admin"), ("MEMBER", "read tools:write"), ("VIEWER", "read")]),
        envelope: Envelope::new(Layout::SuccessFalse, None, texts),
        ..plain("syncello", &kinds, Layout::SuccessFalse, routes)
    }
}
