//! What an API can be made of: whatever could not be meant is an error, and whatever is perhaps not meant is told.

use std::sync::Arc;

use claviger::Api;
use claviger::api::{
    ApiError, ApiSettings, Carriers, Doubt, ForeignIssuer, IdentityHeaders, IssuerError, IssuerKeys, Roles,
    TokenRules,
};
use claviger::credential::CredentialKind;
use claviger::key_set::KeySet;
use claviger::limit_rule::{Amount, Form, LimitRule, Per, PerAccess};
use claviger::route::{Level, Paths, Route, RouteAccess, RouteTable, Unlisted};
use claviger::target::Oddities;
use claviger::testing::{synaptiq, syncello, synq, table};

fn error(settings: ApiSettings) -> ApiError {
    Api::new(settings).unwrap_err()
}

fn limit(name: &str) -> LimitRule {
    let amount = Amount { by_plan: Vec::new(), otherwise: PerAccess::flat(1) };
    LimitRule { name: name.into(), per: Per::Credential, form: Form::Sliding { window_millis: 1000 }, amount }
}

fn issuer(name: &str) -> ForeignIssuer {
    ForeignIssuer {
        issuer: name.into(),
        audience: Some("synq".into()),
        types: vec!["at+jwt".into()],
        required_claims: Vec::new(),
        lifetime_seconds: 3600,
        leeway_seconds: 5,
        max_token_bytes: 16_384,
        max_claims_depth: 16,
        keys: Arc::new(IssuerKeys::new(KeySet::default())),
        tenants: Vec::new(),
    }
}

#[test]
fn core_17_what_could_not_be_meant_is_a_typed_error() {
    for settings in [synq(), synaptiq(), syncello()] {
        assert!(Api::new(settings).is_ok());
    }
    assert_eq!(
        error(ApiSettings { credentials: [].into_iter().collect(), ..synaptiq() }),
        ApiError::NoCredentials
    );
    for settings in [synq(), syncello()] {
        assert_eq!(error(ApiSettings { roles: Roles::default(), ..settings }), ApiError::NoRoles);
    }
    assert!(Api::new(ApiSettings { roles: Roles::default(), ..synaptiq() }).is_ok(), "keys need none");
    let nowhere = RouteTable::new(Vec::new(), Paths::Lenient, Some(Unlisted::NotFound), Oddities::default());
    assert_eq!(error(ApiSettings { routes: nowhere.unwrap(), ..synaptiq() }), ApiError::NothingReachable);
    let tokens = Some([CredentialKind::UserToken].into_iter().collect());
    let for_nobody =
        Route { credentials: tokens, ..Route::new("/a", "a".parse().unwrap(), vec![http::Method::GET]) };
    assert!(matches!(
        error(ApiSettings { routes: table(vec![for_nobody]), ..synaptiq() }),
        ApiError::RouteForNobody { at: 0, path } if path == "/a"
    ));
    for lifetime_seconds in [0, -1, 86_401] {
        let rules = TokenRules { lifetime_seconds, ..synq().identity_tokens };
        assert_eq!(error(ApiSettings { identity_tokens: rules, ..synq() }), ApiError::TokenLifetime);
    }
    for rules in [
        TokenRules { issuer: "".into(), ..synq().identity_tokens },
        TokenRules { audience: "".into(), ..synq().identity_tokens },
    ] {
        assert_eq!(error(ApiSettings { identity_tokens: rules, ..synq() }), ApiError::TokenNames);
    }
    for names in [["x-tenant-id", "x-tenant-id"], ["authorization", "x-org-id"], ["x-tenant-id", "host"]] {
        let names = names.map(|name| name.parse().unwrap());
        let headers = IdentityHeaders { names, ..IdentityHeaders::default() };
        assert_eq!(error(ApiSettings { identity_headers: headers, ..synq() }), ApiError::IdentityHeaderNames);
    }
    for name in [
        "authorization",
        "cookie",
        "x-tenant-id",
        "x-claviger-key",
        "x-forwarded-key",
        "x-request-id",
        "sec-websocket-protocol",
    ] {
        let carriers = Carriers { header: Some(name.parse().unwrap()), ..Carriers::default() };
        assert!(
            matches!(error(ApiSettings { carriers, ..synaptiq() }), ApiError::CarrierName { .. }),
            "{name}"
        );
    }
    for origin in ["*", "https://app.example/", "app.example"] {
        let cors_origins = vec!["https://app.example".into(), origin.into()];
        assert!(
            matches!(error(ApiSettings { cors_origins, ..synaptiq() }), ApiError::Origin { at: 1, .. }),
            "{origin}"
        );
    }
}

#[test]
fn core_17_limits_have_names_of_their_own() {
    let of = |limits| error(ApiSettings { limits, ..synaptiq() });
    assert!(matches!(of(vec![limit("a"), limit("b"), limit("a")]), ApiError::LimitName { at: 2, .. }));
    assert!(matches!(of(vec![limit("")]), ApiError::LimitName { at: 0, .. }));
    for form in [
        Form::Sliding { window_millis: 0 },
        Form::Burst { refill_millis: 0 },
        Form::Burst { refill_millis: 86_400_001 },
    ] {
        assert!(matches!(of(vec![LimitRule { form, ..limit("a") }]), ApiError::LimitSpan { at: 0, .. }));
    }
    let listed = Amount {
        by_plan: vec![("gone".parse().unwrap(), PerAccess::flat(1))],
        otherwise: PerAccess::default(),
    };
    let unknown = of(vec![limit("b"), LimitRule { amount: listed, ..limit("a") }]);
    assert_eq!(unknown.to_string(), "`gone` is not among the API's plans");
}

#[test]
fn issuers_are_told_apart() {
    let of = |foreign_issuers| error(ApiSettings { foreign_issuers, ..synq() });
    let taken = |at| move |error: &ApiError| matches!(error, ApiError::Issuer { at: found, why: IssuerError::Taken, .. } if *found == at);
    assert!(taken(1)(&of(vec![issuer("https://a.example"), issuer("https://a.example")])));
    assert!(taken(0)(&of(vec![issuer("https://synq.example")])));
    let vague = ForeignIssuer { audience: None, ..issuer("https://a.example") };
    assert!(matches!(of(vec![vague]), ApiError::Issuer { why: IssuerError::NoAudience, .. }));
    let for_nobody = ApiSettings { foreign_issuers: vec![issuer("https://a.example")], ..synaptiq() };
    assert_eq!(error(for_nobody), ApiError::IssuersForNobody);
}

#[test]
fn operating_08_what_is_perhaps_not_meant_is_told_with_a_hint() {
    assert!(Api::new(synaptiq()).unwrap().doubts().is_empty());
    let route = |path: &str, access| Route {
        websocket: true,
        access,
        ..Route::new(path, "live".parse().unwrap(), vec![http::Method::GET])
    };
    let said = RouteAccess::Every(Level::Needs(claviger::grants::Access::Read));
    let roles = vec![
        ("ADMIN".parse().unwrap(), "admin".parse().unwrap()),
        ("EDITOR".parse().unwrap(), "live:read oders:write".parse().unwrap()),
        ("GUEST".parse().unwrap(), "".parse().unwrap()),
    ];
    let listed = Amount {
        by_plan: vec![("starter".parse().unwrap(), PerAccess::flat(1))],
        otherwise: PerAccess::default(),
    };
    let api = Api::new(ApiSettings {
        routes: table(vec![route("/said", said), route("/ws", RouteAccess::Ladder)]),
        roles: Roles::new(roles).unwrap(),
        limits: vec![limit("flat"), LimitRule { amount: listed, ..limit("by plan") }],
        plans: ["starter", "pro"].map(|plan| plan.parse().unwrap()).into(),
        foreign_issuers: vec![issuer("https://a.example")],
        ..synq()
    })
    .unwrap();
    let doubts = api.doubts();
    let said: Vec<String> = doubts.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "route `/ws` opens a WebSocket and does not say its access, so it needs `admin`",
            "role `EDITOR` allows something on `oders`, which no route is about",
            "role `GUEST` allows nothing",
            "limit `by plan` leaves plan `pro` out, which gets the least that any plan has",
            "issuer `https://a.example` may speak for no tenant",
        ]
    );
    assert!(doubts.iter().all(|doubt| doubt.hint().is_some()));
    assert!(matches!(doubts[0], Doubt::SilentWebSocket { at: 1, .. }));
}
