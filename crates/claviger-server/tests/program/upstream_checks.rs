//! The sample APIs before a stub of Claviger's public keys, where each check can be missed by one step, and keys come and go.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::key_set::Algorithm;
use claviger::signing_key::SigningKey;
use claviger::testing::{Unsigned, keypair};
use serde_json::{Value, json};

use crate::support::{Folder, until};
use crate::tap::Sent;
use crate::upstream_samples::{Api, Sample, assert_refused, assert_unavailable};

/// In the place of Claviger's console: says which keys there are, unless it is told to be silent.
#[derive(Debug, Clone)]
struct Stub {
    address: SocketAddr,
    /// `None`: whoever asks is sent away without an answer.
    set: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
    held: Arc<(Mutex<bool>, Condvar)>,
}

impl Stub {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stub = Self { address, set: Arc::default(), asked: Arc::default(), held: Arc::default() };
        let shared = stub.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shared) = (stream.unwrap(), shared.clone());
                // Whoever has gone away is not answered.
                std::thread::spawn(move || shared.answer(stream));
            }
        });
        stub
    }

    fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut held = self.held.0.lock().unwrap();
        while *held {
            held = self.held.1.wait(held).unwrap();
        }
        let Some(set) = self.set.lock().unwrap().clone() else { return Ok(()) };
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/jwk-set+json\r\nConnection: close\r\n";
        write!(reader.get_mut(), "{head}Content-Length: {}\r\n\r\n{set}", set.len())
    }

    fn publish(&self, keys: &[&SigningKey]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.verifying_key().unwrap().to_jwk()).collect();
        *self.set.lock().unwrap() = Some(json!({ "keys": keys }).to_string());
    }

    fn fall_silent(&self) {
        *self.set.lock().unwrap() = None;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Lets whoever asks wait, or answers them.
    fn hold(&self, held: bool) {
        *self.held.0.lock().unwrap() = held;
        self.held.1.notify_all();
    }
}

const BINDING_KEY: [u8; 32] = [7; 32];
const OTHER_KEY: [u8; 32] = [9; 32];

fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

/// The claims of a key of Acme's.
fn claims() -> Value {
    json!({
        "iss": "claviger", "aud": "orders", "iat": now(), "exp": now() + 15, "sub": "key_1", "kind": "api-key",
        "realm": "orders", "tenant_id": "acme", "org_id": "main", "environment": "live", "access": {"*": "admin"},
    })
}

/// The same with one claim changed, or left out.
fn claims_but(name: &str, value: Option<Value>) -> Value {
    let mut claims = claims();
    match value {
        Some(value) => claims[name] = value,
        None => drop(claims.as_object_mut().unwrap().remove(name)),
    }
    claims
}

fn token(key: &SigningKey, claims: &Value) -> Unsigned {
    Unsigned::new(&json!({"alg": "EdDSA", "typ": "principal+jwt", "kid": key.kid()}), claims)
}

/// Binds a token to a request at a time.
fn bind(sent: Sent, token: &str, key: &[u8; 32], seconds: i64) -> Sent {
    let hash = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, token.as_bytes()));
    let (method, target) = (&sent.method, &sent.target);
    let text = format!("v1\n{hash}\n{method}\n{}\n{target}\nr1\n{seconds}", sent.header("host"));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
    let binding = format!("v1.{seconds}.{}", URL_SAFE_NO_PAD.encode(mac));
    sent.and("x-claviger-principal", token).and("x-claviger-binding", &binding).and("x-request-id", "r1")
}

/// A request for the list of orders, as Claviger would send it.
fn list_with(token: &str) -> Sent {
    bind(Sent::new("GET", "/orders?q=").and("host", "api.test:8443"), token, &BINDING_KEY, now())
}

fn start_before(stub: &Stub, sample: Sample) -> (Folder, Api) {
    let folder = Folder::new();
    folder.write("orders.key", &format!("{}\n", URL_SAFE_NO_PAD.encode(BINDING_KEY)));
    folder.write("other.key", &URL_SAFE_NO_PAD.encode(OTHER_KEY));
    let api = sample.start(&folder, "orders=orders.key other=other.key", stub.address);
    (folder, api)
}

#[test]
fn fastapi_refuses_what_misses_any_check_by_one_step() {
    each_check(Sample::FastApi);
}

#[test]
fn express_refuses_what_misses_any_check_by_one_step() {
    each_check(Sample::Express);
}

fn each_check(sample: Sample) {
    let (stub, key) = (Stub::start(), keypair("pr_1", Algorithm::EdDsa));
    let other_kind = keypair("es_1", Algorithm::Es256);
    stub.publish(&[&key, &other_kind]);
    let (_folder, api) = start_before(&stub, sample);
    let good = token(&key, &claims_but("exp", Some((now() + 29).into()))).signed(&key);

    // What is good, up to what clocks may differ.
    let signed = |claims: &Value| token(&key, claims).signed(&key);
    let at = |seconds| bind(Sent::new("GET", "/orders").and("host", "a"), &good, &BINDING_KEY, seconds);
    let other = signed(&claims_but("aud", Some("other".into())));
    let list = Sent::new("GET", "/orders").and("host", "a");
    for (what, sent) in [
        ("the list", list_with(&good)),
        ("just expired", list_with(&signed(&claims_but("exp", Some((now() - 1).into()))))),
        ("made in a moment", list_with(&signed(&claims_but("iat", Some((now() + 4).into()))))),
        ("bound some time ago", at(now() - 25)),
        ("bound in a while", at(now() + 29)),
        ("the other audience", bind(list.clone(), &other, &OTHER_KEY, now())),
        ("a claim that nobody knows", list_with(&signed(&claims_but("new", Some(json!({})))))),
    ] {
        assert_eq!(sent.to(api.address).status, 200, "{what}");
    }
    let nobody = json!({
        "iss": "claviger", "aud": "orders", "iat": now(), "exp": now() + 15, "kind": "public", "realm": "orders",
        "access": {},
    });
    let open = |path: &str| {
        let sent = Sent::new("GET", path).and("host", "a");
        bind(sent, &signed(&nobody), &BINDING_KEY, now()).to(api.address).status
    };
    assert_eq!((open("/status"), open("/orders"), open("/orders/x")), (200, 404, 404));

    // The token.
    let headed = |header: Value| list_with(&Unsigned::new(&header, &claims()).signed(&key));
    let head = json!({"alg": "EdDSA", "typ": "principal+jwt", "kid": "pr_1"});
    let head_but = |name: &str, value: Value| {
        let mut head = head.clone();
        head[name] = value;
        head
    };
    let mut crit = head_but("crit", json!(["b64"]));
    crit["b64"] = true.into();
    let public = key.verifying_key().unwrap().raw().to_vec();
    let with_alg = |alg: &str| Unsigned::new(&head_but("alg", alg.into()), &claims());
    let es256 = Unsigned::new(&json!({"alg": "ES256", "typ": "principal+jwt", "kid": "es_1"}), &claims());
    let stranger = keypair("pr_1", Algorithm::EdDsa);
    let mut parts: Vec<String> = good.split('.').map(str::to_owned).collect();
    parts[1] = URL_SAFE_NO_PAD.encode(claims_but("tenant_id", Some("rival".into())).to_string());
    for (what, sent) in [
        ("no token at all", list_with("")),
        ("no token", list_with("a.b.c")),
        ("another's signature", list_with(&token(&stranger, &claims()).signed(&stranger))),
        ("changed claims", list_with(&parts.join("."))),
        ("alg none", list_with(&with_alg("none").with_signature(b""))),
        ("alg HS256", list_with(&with_alg("HS256").signed_hs256(&public))),
        ("alg ES256", list_with(&es256.signed(&other_kind))),
        ("alg Ed25519", list_with(&with_alg("Ed25519").signed(&key))),
        ("typ JWT", headed(head_but("typ", "JWT".into()))),
        ("typ at+jwt", headed(head_but("typ", "at+jwt".into()))),
        ("no typ", headed(json!({"alg": "EdDSA", "kid": "pr_1"}))),
        ("no kid", headed(json!({"alg": "EdDSA", "typ": "principal+jwt"}))),
        ("a kid that is no text", headed(head_but("kid", 1.into()))),
        ("an unknown kid", headed(head_but("kid", "pr_9".into()))),
        ("crit", headed(head_but("crit", json!(["exp"])))),
        ("crit that libraries take", headed(crit)),
    ] {
        assert_refused(&sent.to(api.address), what);
    }
    for (name, value) in [
        ("iss", Some("somebody".into())),
        ("iss", None),
        ("aud", Some("returns".into())),
        ("aud", Some(json!(["orders", "returns"]))),
        ("aud", None),
        ("exp", Some((now() - 6).into())),
        ("exp", Some((now() + 60).into())),
        ("exp", None),
        ("iat", Some((now() + 12).into())),
        ("iat", None),
        ("kind", Some("robot".into())),
        ("sub", None),
        ("tenant_id", None),
        ("org_id", Some("".into())),
        ("environment", Some("staging".into())),
        ("role", Some(1.into())),
        ("access", None),
        ("access", Some("admin".into())),
        ("access", Some(json!({"*": "everything"}))),
    ] {
        let what = format!("{name}: {value:?}");
        assert_refused(&list_with(&signed(&claims_but(name, value))).to(api.address), &what);
    }

    // The binding, and what it binds.
    let sent = list_with(&good);
    let binding = sent.header("x-claviger-binding").to_owned();
    let bound = |binding: &str| sent.clone().with("x-claviger-binding", binding);
    let another = token(&key, &claims_but("sub", Some("key_2".into()))).signed(&key);
    for (what, sent) in [
        ("another method", sent.clone().by("DELETE")),
        ("HEAD", sent.clone().by("HEAD")),
        ("another path", sent.clone().at("/status?q=")),
        ("another query", sent.clone().at("/orders?q=a")),
        ("no query", sent.clone().at("/orders")),
        ("another spelling", sent.clone().at("/%6frders?q=")),
        ("another port", sent.clone().with("host", "api.test")),
        ("another id", sent.clone().with("x-request-id", "r2")),
        ("another token", sent.clone().with("x-claviger-principal", &another)),
        ("bound long ago", at(now() - 31)),
        ("bound for later", at(now() + 40)),
        ("the other audience's key", bind(list.clone(), &good, &OTHER_KEY, now())),
        ("the other audience's token", bind(list, &other, &BINDING_KEY, now())),
        ("another form", bound(&binding.replacen("v1", "v2", 1))),
        ("one part more", bound(&format!("{binding}."))),
        ("a part of the MAC", bound(&binding[..binding.len() - 1])),
        ("a time that is none", bound(&binding.replacen("v1.", "v1.+", 1))),
        ("no MAC", bound("v1")),
    ] {
        assert_eq!(sent.to(api.address).status, 401, "{what}");
    }
    for name in ["x-claviger-principal", "x-claviger-binding", "x-request-id"] {
        assert_refused(&sent.clone().without(name).to(api.address), name);
        assert_refused(&sent.clone().twice(name).to(api.address), name);
    }
    // Whether by the guard or by the server below it.
    assert!(matches!(sent.clone().twice("host").to(api.address).status, 400 | 401));
    assert_eq!(sent.to(api.address).status, 200, "nothing of that was the request's fault");
}

#[test]
fn fastapi_takes_keys_as_they_come_and_go() {
    keys_come_and_go(Sample::FastApi);
}

#[test]
fn express_takes_keys_as_they_come_and_go() {
    keys_come_and_go(Sample::Express);
}

fn keys_come_and_go(sample: Sample) {
    let stub = Stub::start();
    let (_folder, api) = start_before(&stub, sample);
    let [old, new, made_up] = ["pr_1", "pr_2", "pr_3"].map(|kid| keypair(kid, Algorithm::EdDsa));
    let ask = |key: &SigningKey| list_with(&token(key, &claims()).signed(key)).to(api.address);
    let becomes = |key: &SigningKey, status: u16| {
        until("the keys are asked for again", || (ask(key).status == status).then_some(()));
    };
    // How often a burst had the keys asked for: once in a second at most, whoever asks.
    let burst = |answer: &dyn Fn()| {
        let (began, before) = (Instant::now(), stub.asked());
        (0..30).for_each(|_| answer());
        let most = usize::try_from(began.elapsed().as_secs()).unwrap() + 2;
        assert!(stub.asked() - before <= most, "{} times", stub.asked() - before);
    };

    // Without any key nobody can say.
    burst(&|| assert_unavailable(&ask(&old)));
    stub.publish(&[&old]);
    becomes(&old, 200);
    // A key that is known stays so; of another one nobody can say.
    stub.fall_silent();
    becomes(&made_up, 503);
    assert_eq!(ask(&old).status, 200);
    // A new one signs beside it.
    stub.publish(&[&old, &new]);
    becomes(&new, 200);
    assert_eq!(ask(&old).status, 200);
    burst(&|| assert_refused(&ask(&made_up), "a key that nobody published"));
    // One that was dropped is forgotten when the keys are read again.
    stub.publish(&[&new]);
    until("the old key is forgotten", || {
        assert_refused(&ask(&made_up), "a key that nobody published");
        (ask(&old).status == 401).then_some(())
    });
    assert_eq!(ask(&new).status, 200);

    // While the keys are on their way, whoever has a known one is answered.
    until("a known key waits for no fetch", || {
        stub.hold(true);
        let (before, began) = (stub.asked(), Instant::now());
        let waiting = list_with(&token(&made_up, &claims()).signed(&made_up));
        let address = api.address;
        let waiting = std::thread::spawn(move || waiting.to(address).status);
        while stub.asked() == before && !waiting.is_finished() {
            std::thread::yield_now();
        }
        let is_under_way = stub.asked() > before;
        assert_eq!(ask(&new).status, 200);
        // Less than a fetch may take.
        let was_answered = is_under_way && began.elapsed() < Duration::from_secs(1);
        stub.hold(false);
        assert!(matches!(waiting.join().unwrap(), 401 | 503));
        was_answered.then_some(())
    });
}
