//! The three checks: each way to fail one is 401 with the same body.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{Forwarded, Jwks, NOW, Principal, Reply, Signer, TestServer};

type Mistake = fn(&mut Forwarded);

const PRODUCTS: &str = "/api/v1/products?limit=2";

fn acme() -> Principal {
    Principal::of("synq", "acme")
}

fn good(server: &TestServer) -> Forwarded {
    Forwarded::new(&server.jwks.signer, &acme(), "GET", PRODUCTS)
}

#[track_caller]
fn assert_turned_away(reply: Reply, what: &str) {
    assert_eq!(reply.status.as_u16(), 401, "{what}");
    assert_eq!(
        reply.json(),
        json!({"error": "this server only answers requests that come through Claviger"})
    );
}

#[tokio::test]
async fn a_request_as_claviger_forwards_it_is_let_in() {
    let server = TestServer::start().await;
    let answer = server.send(good(&server).build()).await.expect(200);
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_request_without_token_or_binding_or_request_id_is_401() {
    let server = TestServer::start().await;
    for name in ["x-claviger-principal", "x-claviger-binding", "x-request-id"] {
        let mut request = good(&server).build();
        request.headers_mut().remove(name);
        assert_turned_away(server.send(request).await, name);
    }
}

#[tokio::test]
async fn a_doubled_token_or_binding_is_401() {
    let server = TestServer::start().await;
    for name in ["x-claviger-principal", "x-claviger-binding", "x-request-id", "host"] {
        let mut request = good(&server).build();
        let again = request.headers()[name].clone();
        request.headers_mut().append(name, again);
        assert_turned_away(server.send(request).await, name);
    }
}

#[tokio::test]
async fn tenant_headers_alone_open_nothing() {
    let server = TestServer::start().await;
    let mut request = good(&server).build();
    request.headers_mut().remove("x-claviger-principal");
    request.headers_mut().insert("x-tenant-id", "acme".parse().unwrap());
    request.headers_mut().insert("x-org-id", "org-of-acme".parse().unwrap());
    assert_turned_away(server.send(request).await, "headers alone");
}

#[tokio::test]
async fn a_token_signed_with_another_key_is_401() {
    let server = TestServer::start().await;
    let forger = Signer::new(server.jwks.signer.kid);
    let forged = Forwarded::new(&forger, &acme(), "GET", PRODUCTS);
    assert_turned_away(server.send(forged.build()).await, "the kid of a published key, another key");
}

#[tokio::test]
async fn a_changed_token_is_401() {
    let server = TestServer::start().await;
    let mut changed = good(&server);
    let claims = URL_SAFE_NO_PAD.encode(acme().with("tenant_id", "rival").0.to_string());
    let parts: Vec<String> = changed.token.split('.').map(str::to_owned).collect();
    changed.token = format!("{}.{claims}.{}", parts[0], parts[2]);
    assert_turned_away(server.send(changed.build()).await, "claims of another tenant");
}

#[tokio::test]
async fn a_token_that_says_none_or_hs256_is_401() {
    let server = TestServer::start().await;
    for alg in ["none", "HS256"] {
        let mut token = good(&server);
        let header = json!({"alg": alg, "typ": "principal+jwt", "kid": server.jwks.signer.kid}).to_string();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), token.token.split('.').nth(1).unwrap());
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"a public key, as a secret");
        let mac = if alg == "none" {
            String::new()
        } else {
            URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()))
        };
        token.token = format!("{signed}.{mac}");
        assert_turned_away(server.send(token.build()).await, alg);
    }
}

#[tokio::test]
async fn a_token_of_another_type_or_with_critical_extensions_is_401() {
    let server = TestServer::start().await;
    let signer = &server.jwks.signer;
    let headers = [
        json!({"alg": "EdDSA", "typ": "JWT", "kid": signer.kid}),
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": signer.kid}),
        json!({"alg": "EdDSA", "kid": signer.kid}),
        json!({"alg": "EdDSA", "typ": "principal+jwt"}),
        json!({"alg": "EdDSA", "typ": "principal+jwt", "kid": signer.kid, "crit": ["b64"], "b64": false}),
    ];
    for header in headers {
        let token = Forwarded::with_header(signer, &header, &acme(), "GET", PRODUCTS);
        assert_turned_away(server.send(token.build()).await, &header.to_string());
    }
}

#[tokio::test]
async fn a_token_for_another_audience_or_from_another_issuer_is_401() {
    let server = TestServer::start().await;
    let callers = [
        acme().with("aud", "orders"),
        acme().with("aud", json!(["synq", "orders"])),
        acme().without("aud"),
        acme().with("iss", "somebody"),
        acme().without("iss"),
        acme().without("tenant_id"),
        acme().with("environment", "staging"),
    ];
    for caller in callers {
        let token = Forwarded::new(&server.jwks.signer, &caller, "GET", PRODUCTS);
        assert_turned_away(server.send(token.build()).await, &caller.0.to_string());
    }
}

#[tokio::test]
async fn a_token_for_one_api_with_the_binding_of_another_is_401() {
    let server = TestServer::start().await;
    let mut crossed = good(&server);
    crossed.binding_key = [2; 32];
    assert_turned_away(server.send(crossed.build()).await, "Synaptiq's binding key");
}

#[tokio::test]
async fn a_token_lives_until_it_expires_and_five_seconds() {
    let server = TestServer::start().await;
    let at = |time: i64| {
        let mut request = good(&server);
        request.bound_time = time;
        request.build()
    };
    server.set_clock(NOW + 14);
    server.send(at(NOW + 14)).await.expect(200);
    server.set_clock(NOW + 15);
    assert_turned_away(server.send(at(NOW + 15)).await, "expired");
    server.set_clock(NOW - 5);
    server.send(at(NOW)).await.expect(200);
    server.set_clock(NOW - 6);
    assert_turned_away(server.send(at(NOW)).await, "issued in the future");
}

#[tokio::test]
async fn a_token_without_expiry_or_with_a_long_life_is_401() {
    let server = TestServer::start().await;
    for exp in [json!(null), json!(NOW + 31), json!(i64::MAX), json!("soon")] {
        let caller = acme().with("exp", exp);
        let token = Forwarded::new(&server.jwks.signer, &caller, "GET", PRODUCTS);
        assert_turned_away(server.send(token.build()).await, &caller.0.to_string());
    }
    let month = acme().with("exp", NOW + 30);
    server.send(Forwarded::new(&server.jwks.signer, &month, "GET", PRODUCTS).build()).await.expect(200);
}

#[tokio::test]
async fn a_binding_for_another_request_is_401() {
    let server = TestServer::start().await;
    let mistakes: [(&str, Mistake); 7] = [
        ("method", |request| request.bound_method = "DELETE".into()),
        ("path", |request| request.bound_target = "/api/v1/orders?limit=2".into()),
        ("query", |request| request.bound_target = "/api/v1/products?limit=3".into()),
        ("no query", |request| request.bound_target = "/api/v1/products".into()),
        ("authority", |request| request.bound_host = "other.test".into()),
        ("request id", |request| request.bound_id = "req-2".into()),
        ("token", |request| request.bound_token = Some("another.token.text".into())),
    ];
    for (what, mistake) in mistakes {
        let mut request = good(&server);
        mistake(&mut request);
        assert_turned_away(server.send(request.build()).await, what);
    }
}

#[tokio::test]
async fn a_binding_lives_thirty_seconds() {
    let server = TestServer::start().await;
    for (time, status) in
        [(NOW - 31, 401), (NOW - 30, 200), (NOW + 30, 200), (NOW + 31, 401), (i64::MIN, 401)]
    {
        let mut request = good(&server);
        request.bound_time = time;
        server.send(request.build()).await.expect(status);
    }
}

#[tokio::test]
async fn a_binding_in_another_form_is_401() {
    let server = TestServer::start().await;
    let binding = good(&server).binding();
    let forms = [
        binding.replacen("v1", "v2", 1),
        format!("{binding}."),
        binding[..binding.len() - 4].to_owned(),
        "v1".into(),
    ];
    for form in forms {
        let mut request = good(&server).build();
        request.headers_mut().insert("x-claviger-binding", form.parse().unwrap());
        assert_turned_away(server.send(request).await, &form);
    }
}

#[tokio::test]
async fn a_target_with_an_authority_of_its_own_is_401() {
    let server = TestServer::start().await;
    let mut request = good(&server).build();
    *request.uri_mut() = format!("http://api.test{PRODUCTS}").parse().unwrap();
    assert_turned_away(server.send(request).await, "absolute form");
}

#[tokio::test]
async fn unreachable_public_keys_are_503_and_never_401() {
    let jwks = Jwks::start().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/.well-known/jwks.json", closed.local_addr().unwrap());
    drop(closed);
    let server = TestServer::start_with(jwks, url).await;
    for _ in 0..2 {
        let answer = server.send(good(&server).build()).await.expect(503);
        assert_eq!(answer, json!({"error": "the public keys of Claviger cannot be fetched"}));
    }
}

#[tokio::test]
async fn a_new_key_is_found_and_unknown_ones_cost_one_fetch_a_second() {
    let server = TestServer::start().await;
    let next = Signer::new("principal-2");
    let request = || Forwarded::new(&next, &acme(), "GET", PRODUCTS).build();
    server.send(good(&server).build()).await.expect(200);
    server.send(good(&server).build()).await.expect(200);
    assert_eq!(server.jwks.asked(), 1);

    for _ in 0..3 {
        assert_turned_away(server.send(request()).await, "not published");
    }
    assert_eq!(server.jwks.asked(), 1);

    server.jwks.also_publish(&next);
    server.set_clock(NOW + 1);
    server.send(request()).await.expect(200);
    server.send(good(&server).build()).await.expect(200);
    assert_eq!(server.jwks.asked(), 2);
}

#[tokio::test]
async fn an_address_that_is_not_http_is_refused_at_the_start() {
    let server = TestServer::start_with(Jwks::start().await, "https://localhost/jwks.json".into()).await;
    let error = server.stop().await.unwrap_err().to_string();
    assert_eq!(error, "`https://localhost/jwks.json` does not begin with `http://` and a host");
}

#[tokio::test]
async fn the_server_ends_when_told() {
    let server = TestServer::start().await;
    server.send(good(&server).build()).await.expect(200);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn echo_tells_claims_and_header_names_but_no_values() {
    let server = TestServer::start().await;
    for api in ["synq", "synaptiq", "syncello"] {
        let caller = Principal::of(api, "acme").with("kind", "api-key").without("role");
        let mut request = Forwarded::new(&server.jwks.signer, &caller, "GET", "/echo").build();
        request.headers_mut().insert("x-tenant-id", "a-value".parse().unwrap());
        let reply = server.send(request).await;
        assert!(!String::from_utf8_lossy(&reply.bytes).contains("a-value"));
        let answer = reply.expect(200);
        assert_eq!(answer["principal"], caller.0);
        assert!(answer["headers"].as_array().unwrap().contains(&Value::from("x-tenant-id")));
    }
}

#[tokio::test]
async fn nobody_sees_what_is_for_everybody_and_nothing_else() {
    let server = TestServer::start().await;
    let nobody = Principal(json!({
        "iss": "claviger", "aud": "synq", "iat": NOW, "exp": NOW + 10, "kind": "public", "realm": "synq",
        "access": {},
    }));
    let ask =
        |caller: &Principal, path: &str| Forwarded::new(&server.jwks.signer, caller, "GET", path).build();
    assert_eq!(server.send(ask(&nobody, "/status")).await.expect(200), json!({"status": "ok"}));
    for path in ["/api/v1/products", "/echo"] {
        server.send(ask(&nobody, path)).await.expect(404);
    }
    for half in [acme().without("tenant_id"), acme().without("sub"), nobody.with("kind", "api-key")] {
        assert_turned_away(server.send(ask(&half, "/status")).await, "who is known is known whole");
    }
}
