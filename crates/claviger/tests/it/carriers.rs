//! Where a credential may stand, and that two of them are never ranked.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use claviger::api::{Api, ApiSettings, Carriers};
use claviger::testing::{TestDoor, TestRequest, api, synaptiq, synq};

use crate::code;

const LEADS: &str = "/api/v1/leads";

fn get() -> TestRequest {
    TestRequest::get(LEADS)
}

fn taking(carriers: Carriers) -> Arc<Api> {
    api(ApiSettings { carriers, cors_origins: vec!["https://app.example".into()], ..synaptiq() })
}

fn basic(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

fn opens(request: TestRequest) -> TestRequest {
    request.header("connection", "Upgrade").header("upgrade", "websocket")
}

#[test]
fn a01_a_bearer_credential_stands_after_one_or_more_spaces() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "read").text;
    for value in [format!("Bearer {key}"), format!("Bearer  {key}"), format!("BEARER     {key}")] {
        assert_eq!(
            code(&get().header("authorization", &value).decide(&test, &test.synaptiq)),
            "let in",
            "{value}"
        );
    }
    for value in
        [format!("Bearer{key}"), format!("Bearer \t{key}"), format!("Bearer {key} "), "Bearer   ".into()]
    {
        assert_eq!(
            code(&get().header("authorization", &value).decide(&test, &test.synaptiq)),
            "unauthorized",
            "{value}"
        );
    }
}

#[test]
fn a03_each_place_is_taken_where_the_api_asks_for_it_and_nowhere_else() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "read").text;
    let header = Carriers { header: Some("x-api-key".parse().unwrap()), ..Carriers::default() };
    let basics = Carriers { basic: true, ..Carriers::default() };
    let sockets = Carriers { websocket: true, ..Carriers::default() };
    let places = [
        (header, get().header("X-API-Key", &key)),
        (basics, get().header("authorization", &basic(&format!("{key}:")))),
        (
            sockets,
            opens(get()).header("sec-websocket-protocol", &format!("v2, claviger , claviger.bearer.{key}")),
        ),
    ];
    for (at, (carriers, _)) in places.iter().enumerate() {
        let api = taking(carriers.clone());
        for (other, (_, request)) in places.iter().enumerate() {
            let expected = if at == other { "let in" } else { "unauthorized" };
            assert_eq!(code(&request.decide(&test, &api)), expected, "{at} {other}");
        }
        assert_eq!(code(&get().bearer(&key).decide(&test, &api)), "let in", "{at}: a bearer always");
    }
    let none = taking(Carriers::default());
    assert!(places.iter().all(|(_, request)| code(&request.decide(&test, &none)) == "unauthorized"));
}

#[test]
fn two_credentials_are_401_whichever_way_they_come() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "read").text;
    let all = taking(Carriers { header: Some("x-api-key".parse().unwrap()), basic: true, websocket: true });
    let subprotocol = format!("claviger.bearer.{key}");
    for (what, request) in [
        ("bearer and header", get().bearer(&key).header("x-api-key", &key)),
        ("header twice", get().header("x-api-key", &key).header("x-api-key", &key)),
        ("header and an empty one", get().header("x-api-key", &key).header("x-api-key", "")),
        ("bearer and an empty header", get().bearer(&key).header("x-api-key", "")),
        ("bad bearer and header", get().bearer("x y").header("x-api-key", &key)),
        ("another scheme and header", get().header("authorization", "Digest a").header("x-api-key", &key)),
        (
            "basic and header",
            get().header("authorization", &basic(&format!("{key}:"))).header("x-api-key", &key),
        ),
        ("bearer and subprotocol", opens(get().bearer(&key)).header("sec-websocket-protocol", &subprotocol)),
        (
            "header and subprotocol",
            opens(get().header("x-api-key", &key)).header("sec-websocket-protocol", &subprotocol),
        ),
        (
            "subprotocol twice",
            opens(get())
                .header("sec-websocket-protocol", &subprotocol)
                .header("sec-websocket-protocol", &subprotocol),
        ),
        (
            "subprotocol twice in one",
            opens(get()).header("sec-websocket-protocol", &format!("{subprotocol},{subprotocol}")),
        ),
    ] {
        let refusal = request.decide(&test, &all).unwrap_err();
        assert_eq!(refusal.status(), 401, "{what}");
        assert_eq!(*refusal.reason(), claviger::Reason::AmbiguousCredential, "{what}");
    }
}

#[test]
fn basic_has_an_empty_password_and_is_never_asked_for_nor_taken_from_a_stranger_page() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "read").text;
    let api = taking(Carriers { basic: true, ..Carriers::default() });
    let good = || get().header("authorization", &basic(&format!("{key}:")));
    assert_eq!(code(&good().decide(&test, &api)), "let in");
    assert_eq!(
        code(
            &get()
                .header("authorization", &format!("basic   {}", STANDARD.encode(format!("{key}:"))))
                .decide(&test, &api)
        ),
        "let in"
    );
    assert_eq!(code(&good().header("origin", "https://app.example").decide(&test, &api)), "let in");
    for (what, request) in [
        ("a password", get().header("authorization", &basic(&format!("{key}:secret")))),
        ("the key as password", get().header("authorization", &basic(&format!("user:{key}")))),
        ("no colon", get().header("authorization", &basic(&key))),
        ("two colons", get().header("authorization", &basic(&format!("{key}::")))),
        ("no base64", get().header("authorization", "Basic ???")),
        ("no UTF-8", get().header("authorization", "Basic /////w==")),
        ("nobody", get().header("authorization", &basic(":"))),
        ("another origin", good().header("origin", "https://evil.example")),
        ("a null origin", good().header("origin", "null")),
        (
            "two origins",
            good().header("origin", "https://app.example").header("origin", "https://evil.example"),
        ),
    ] {
        let refusal = request.decide(&test, &api).unwrap_err();
        assert_eq!(refusal.status(), 401, "{what}");
        assert!(
            refusal.challenge().unwrap().starts_with("Bearer"),
            "{what}: a browser would answer by itself"
        );
    }
    assert_eq!(get().decide(&test, &api).unwrap_err().challenge(), Some("Bearer"));
}

#[test]
fn a_token_too_can_stand_in_each_place() {
    let test = TestDoor::new();
    let token = test.identity_token(&test.member(&test.tenant(&test.synq), "VIEWER"));
    let carriers = Carriers { header: Some("x-auth".parse().unwrap()), basic: true, websocket: true };
    let api = api(ApiSettings { carriers, ..synq() });
    let get = || TestRequest::get("/api/v1/orders");
    for request in [
        get().header("x-auth", &token),
        get().header("authorization", &basic(&format!("{token}:"))),
        opens(get()).header("sec-websocket-protocol", &format!("claviger.bearer.{token}, claviger")),
    ] {
        assert_eq!(code(&request.decide(&test, &api)), "let in");
    }
    let hidden = "v2\u{e9}, claviger.bearer.x";
    let both = opens(get().bearer(&token)).header("sec-websocket-protocol", hidden);
    assert_eq!(code(&both.decide(&test, &api)), "unauthorized", "what is no text may be another one");
    let plain = get().header("sec-websocket-protocol", &format!("claviger.bearer.{token}"));
    assert_eq!(code(&plain.decide(&test, &api)), "unauthorized", "without a WebSocket it has no meaning");
}
