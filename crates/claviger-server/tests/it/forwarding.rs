//! What an upstream gets to see, and what it never does.

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_server::on_every_store;
use claviger_server::testing::{On, Received, TestServer};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

on_every_store!(
    the_principal_is_signed_and_bound_to_its_request,
    no_credential_and_no_forged_identity_reaches_the_upstream,
    trailers_are_held_to_the_same_rules,
    what_is_written_for_the_upstream_cannot_be_struck_out,
);

const PRODUCTS: &str = "/api/v1/products";

/// The claims of the principal, verified as an upstream would with a library of its own.
pub(crate) fn principal(server: &TestServer, received: &Received, audience: &str) -> Value {
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let set = server.ops().get("/.well-known/jwks.json").send().expect(200);
    let set: JwkSet = serde_json::from_slice(&set.body).unwrap();
    let token = received.header("x-claviger-principal");
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("principal+jwt"));
    let key = DecodingKey::from_jwk(set.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&["claviger"]);
    validation.set_audience(&[audience]);
    // The server goes by the clock of the test.
    validation.validate_exp = false;
    let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims;
    let (iat, exp) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    assert!(exp - iat <= 30 && (server.now().seconds() - iat).abs() <= 11, "{claims}");
    claims
}

/// Whether the binding is of this very request.
pub(crate) fn is_bound(server: &TestServer, received: &Received, api: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &server.binding_key(api));
    let token = received.header("x-claviger-principal");
    let digest = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, token.as_bytes()));
    let parts: Vec<&str> = received.header("x-claviger-binding").split('.').collect();
    let [version, seconds, mac] = parts[..] else { panic!("three parts in {parts:?}") };
    let line: Vec<&str> = received.line.split(' ').collect();
    let (host, id) = (received.header("host"), received.header("x-request-id"));
    let bound = [version, &digest, line[0], host, line[1], id, seconds].join("\n");
    hmac::verify(&key, bound.as_bytes(), &URL_SAFE_NO_PAD.decode(mac).unwrap()).is_ok()
}

fn the_principal_is_signed_and_bound_to_its_request(on: On) {
    let server = TestServer::recording(on);
    let synq = server.tenant("synq", "Northwind");
    let member = server.member(&synq, "MEMBER");
    let token = server.token(&member).text;
    let answer = server.synq().get(&format!("{PRODUCTS}?limit=5")).bearer(&token).send().expect(200);
    let received = server.recorder().last();
    assert_eq!(received.line, format!("GET {PRODUCTS}?limit=5 HTTP/1.1"));
    assert_eq!(answer.header("x-request-id"), Some(received.header("x-request-id")));
    let claims = principal(&server, &received, "synq");
    for (name, value) in [
        ("sub", member.account.to_string()),
        ("tenant_id", synq.tenant.to_string()),
        ("org_id", synq.org.to_string()),
        ("kind", "identity-token".to_owned()),
        ("realm", "synq".to_owned()),
        ("environment", "live".to_owned()),
        ("role", "MEMBER".to_owned()),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    assert_eq!(
        claims["access"],
        json!({ "*": "read", "products": "write", "orders": "write", "inventory": "write" })
    );
    assert!(is_bound(&server, &received, "synq"));
    assert!(!is_bound(&server, &received, "synaptiq"), "each API's upstream has a key of its own");
    let mut moved = received.clone();
    moved.line = format!("DELETE {PRODUCTS}?limit=5 HTTP/1.1");
    assert!(!is_bound(&server, &moved, "synq"));

    let synaptiq = server.tenant("synaptiq", "Eastwind");
    let key = server.key(&synaptiq, "write");
    server.synaptiq().get("/api/v1/leads").bearer(&key.text).send().expect(200);
    let received = server.recorder().last();
    let claims = principal(&server, &received, "synaptiq");
    assert_eq!((&claims["sub"], &claims["kind"]), (&json!(key.id.to_string()), &json!("api-key")));
    assert_eq!(claims["access"], json!({ "*": "write" }));
    assert_eq!(claims.get("role"), None);
    assert!(is_bound(&server, &received, "synaptiq"));

    let syncello = server.tenant("syncello", "Tradewinds");
    let user_token = server.user_token(&syncello.owner);
    server.syncello().post("/v1/tools/tape/listApps", &json!({})).bearer(&user_token).send().expect(200);
    let received = server.recorder().last();
    let claims = principal(&server, &received, "syncello");
    assert_eq!(claims["sub"], syncello.owner.account.to_string());
    assert_eq!(claims["kind"], "user-token");
    assert!(is_bound(&server, &received, "syncello"));
}

fn no_credential_and_no_forged_identity_reaches_the_upstream(on: On) {
    let server = TestServer::recording(on);
    let home = server.tenant("synq", "Northwind");
    let token = server.token(&home.owner).text;
    let forged = [
        ("X-Claviger-Principal", "forged-a"),
        ("X-Claviger-Binding", "forged-b"),
        ("x_claviger_principal", "forged-c"),
        ("X-Claviger-Anything", "forged-d"),
        ("X_Tenant_ID", "forged-e"),
        ("X.Org.ID", "forged-f"),
        ("Forwarded", "for=forged-g"),
        ("X-Forwarded-For", "forged-h"),
        ("X-Forwarded-Host", "forged-i"),
        ("X_Forwarded_Proto", "forged-j"),
        ("X-Real-IP", "forged-k"),
        ("X-Original-URL", "/forged-l"),
        ("X-Rewrite-URL", "/forged-m"),
        ("X-HTTP-Method-Override", "get"),
        ("X_Method_Override", "GET"),
        ("X-Request-Id", "forged-p"),
        ("Proxy", "http://forged-q"),
        ("True-Client-IP", "forged-r"),
        ("X-Original-URI", "/forged-s"),
        ("X-Host", "forged-t"),
        ("Content_Type", "forged-u"),
    ];
    let get = server.synq().get(PRODUCTS).bearer(&token).header("X-Own", "kept");
    let get = forged.iter().fold(get, |request, (name, value)| request.header(name, value));
    get.header("X-Tenant-ID", &home.tenant.to_string().to_uppercase()).send().expect(200);
    let received = server.recorder().last();
    assert!(!received.has(&token) && !received.has("authorization"), "{received:?}");
    assert!(!received.has("forged") && !received.has("override"), "{received:?}");
    assert_eq!(received.header("x-own"), "kept");
    assert_eq!(received.header("x-tenant-id"), home.tenant.to_string());
    assert_eq!(received.header("x-org-id"), home.org.to_string());
    assert_eq!(received.header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(received.header("x-forwarded-host"), "synq.localhost");
    assert_eq!(received.header("x-forwarded-proto"), "http");
    assert_eq!(received.header("host"), "synq.localhost");

    // Identity headers are written for every kind of credential, whether it has any or not.
    let synaptiq = server.tenant("synaptiq", "Eastwind");
    let key = server.key(&synaptiq, "read").text;
    server.synaptiq().get("/api/v1/leads").bearer(&key).send().expect(200);
    let received = server.recorder().last();
    assert_eq!(received.header("x-tenant-id"), synaptiq.tenant.to_string());
    assert_eq!(received.header("x-org-id"), synaptiq.org.to_string());
    assert!(!received.has(&key), "{received:?}");
}

fn trailers_are_held_to_the_same_rules(on: On) {
    let server = TestServer::recording(on);
    let home = server.tenant("synq", "Northwind");
    let other = server.tenant("synq", "Southwind");
    let token = server.token(&home.owner).text;
    let trailers = [
        "X-Checksum: kept".to_owned(),
        format!("Authorization: Bearer {token}"),
        format!("X-Tenant-ID: {}", other.tenant),
        format!("X_Org_ID: {}", other.org),
        "X-Claviger-Principal: forged".to_owned(),
        "X-Forwarded-For: forged".to_owned(),
    ];
    let lines: Vec<&str> = trailers.iter().map(String::as_str).collect();
    let post = server.synq().request("POST", PRODUCTS).bearer(&token).header("Trailer", "X-Checksum");
    post.chunked("{\"name\":\"Rice\"}", &lines).send().expect(200);
    let received = server.recorder().last();
    assert_eq!(received.body, b"{\"name\":\"Rice\"}");
    assert_eq!(received.trailers, [("x-checksum".to_owned(), "kept".to_owned())]);
    assert!(!received.has(&token) && !received.has("forged") && !received.has(other.tenant.to_string()));
}

fn what_is_written_for_the_upstream_cannot_be_struck_out(on: On) {
    let server = TestServer::recording(on);
    let home = server.tenant("synq", "Northwind");
    let token = server.token(&home.owner).text;
    let struck =
        "X-Claviger-Principal, X-Claviger-Binding, X-Tenant-ID, X-Org-ID, X-Request-Id, X-Own, close";
    let request = server.synq().get(PRODUCTS).bearer(&token).header("X-Own", "for this hop");
    let mut connection = server.synq().connect();
    connection.send(request.header("Connection", struck).bytes());
    connection.answer(false).expect(200);
    let received = server.recorder().last();
    principal(&server, &received, "synq");
    assert!(is_bound(&server, &received, "synq"));
    assert_eq!(received.header("x-tenant-id"), home.tenant.to_string());
    assert_eq!(received.header("x-org-id"), home.org.to_string());
    assert!(received.all("x-own").is_empty());
}
