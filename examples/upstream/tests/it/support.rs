//! A server, a publisher of public keys, and a Claviger that can be told to make mistakes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use claviger_example_upstream::{Api, BindingKey, Clock, Settings, serve};
use http_body_util::{BodyExt, Full};
use hyper::header::HOST;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The time at the start of every test, in Unix seconds.
pub(crate) const NOW: i64 = 1_800_000_000;
const BINDING_KEYS: [(Api, [u8; 32]); 3] =
    [(Api::Synq, [1; 32]), (Api::Synaptiq, [2; 32]), (Api::Syncello, [3; 32])];

#[derive(Debug)]
struct HeldClock(AtomicI64);

impl Clock for HeldClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// A running server and the public keys it is told of.
pub(crate) struct TestServer {
    address: String,
    clock: Arc<HeldClock>,
    pub(crate) jwks: Jwks,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        let jwks = Jwks::start().await;
        let url = jwks.url.clone();
        Self::start_with(jwks, url).await
    }

    pub(crate) async fn start_with(jwks: Jwks, jwks_url: String) -> Self {
        let clock = Arc::new(HeldClock(AtomicI64::new(NOW)));
        let apis: HashMap<_, _> =
            BINDING_KEYS.iter().map(|(api, key)| (*api, BindingKey::new(key))).collect();
        let settings = Settings { apis, jwks_url, clock: clock.clone() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(listener, settings, async {
            let _ = stopped.await;
        }));
        Self { address, clock, jwks, stop: Some(stop), task }
    }

    pub(crate) fn set_clock(&self, seconds: i64) {
        self.clock.0.store(seconds, Ordering::SeqCst);
    }

    /// Sends what `ask` made, over a connection of its own.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let allow = head.headers.get("allow").map(|value| value.to_str().unwrap().to_owned());
        Reply { status: head.status, allow, bytes }
    }

    /// Asks as `caller` does through Claviger, without a mistake.
    pub(crate) async fn ask(&self, caller: &Principal, method: &str, target: &str, body: &str) -> Reply {
        self.send(Forwarded::new(&self.jwks.signer, caller, method, target).body(body).build()).await
    }

    /// Ends the server as SIGTERM does and waits until it has.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(10), self.task).await??
    }
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) allow: Option<String>,
    pub(crate) bytes: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.bytes);
        if self.bytes.is_empty() { Value::Null } else { self.json() }
    }
}

/// One signing key.
pub(crate) struct Signer {
    pub(crate) kid: &'static str,
    key: EncodingKey,
    public: String,
}

impl Signer {
    pub(crate) fn new(kid: &'static str) -> Self {
        let document = Ed25519KeyPair::generate().unwrap();
        let pkcs8 =
            aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&document).unwrap();
        let public = URL_SAFE_NO_PAD.encode(document.public_key().as_ref());
        Self { kid, key: EncodingKey::from_ed_der(pkcs8.as_ref()), public }
    }

    fn jwk(&self) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "alg": "EdDSA", "use": "sig", "x": self.public})
    }
}

/// Publishes a set of public keys and counts how often it is asked.
pub(crate) struct Jwks {
    pub(crate) url: String,
    pub(crate) signer: Signer,
    set: Arc<Mutex<Value>>,
    asked: Arc<AtomicUsize>,
}

impl Jwks {
    pub(crate) async fn start() -> Self {
        let signer = Signer::new("principal-1");
        let other = json!({"kty": "EC", "crv": "P-256", "kid": "es", "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode([1; 32]), "y": URL_SAFE_NO_PAD.encode([2; 32])});
        let set = Arc::new(Mutex::new(json!({"keys": [other, signer.jwk()]})));
        let asked = Arc::new(AtomicUsize::new(0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/.well-known/jwks.json", listener.local_addr().unwrap());
        tokio::spawn(publish(listener, Arc::clone(&set), Arc::clone(&asked)));
        Self { url, signer, set, asked }
    }

    pub(crate) fn also_publish(&self, signer: &Signer) {
        self.set.lock().unwrap()["keys"].as_array_mut().unwrap().push(signer.jwk());
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn publish(listener: TcpListener, set: Arc<Mutex<Value>>, asked: Arc<AtomicUsize>) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = service_fn(|request: Request<hyper::body::Incoming>| {
            assert_eq!(request.uri().path(), "/.well-known/jwks.json");
            asked.fetch_add(1, Ordering::SeqCst);
            let body = Full::<Bytes>::from(set.lock().unwrap().to_string());
            async move { Ok::<_, std::convert::Infallible>(Response::new(body)) }
        });
        let _ = hyper::server::conn::http1::Builder::new()
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }
}

/// The claims of a caller; a test changes those it is about.
#[derive(Debug, Clone)]
pub(crate) struct Principal(pub(crate) Value);

impl Principal {
    pub(crate) fn of(api: &str, tenant: &str) -> Self {
        Self(json!({
            "iss": "claviger", "aud": api, "iat": NOW, "exp": NOW + 10, "sub": format!("user-of-{tenant}"),
            "kind": "identity-token", "realm": api, "tenant_id": tenant, "org_id": format!("org-of-{tenant}"),
            "environment": "live", "role": "ADMIN", "access": {"*": "admin"},
        }))
    }

    pub(crate) fn with(mut self, claim: &str, value: impl Into<Value>) -> Self {
        self.0[claim] = value.into();
        self
    }

    pub(crate) fn without(mut self, claim: &str) -> Self {
        self.0.as_object_mut().unwrap().remove(claim);
        self
    }
}

/// A request as Claviger forwards it. What a test sets afterwards is a mistake that must be noticed.
pub(crate) struct Forwarded {
    /// What the binding says; the request itself stays.
    pub(crate) bound_method: String,
    pub(crate) bound_host: String,
    pub(crate) bound_target: String,
    pub(crate) bound_id: String,
    pub(crate) bound_time: i64,
    pub(crate) binding_key: [u8; 32],
    pub(crate) token: String,
    pub(crate) bound_token: Option<String>,
    method: String,
    target: String,
    body: Bytes,
}

impl Forwarded {
    pub(crate) fn new(signer: &Signer, caller: &Principal, method: &str, target: &str) -> Self {
        let header = json!({"alg": "EdDSA", "typ": "principal+jwt", "kid": signer.kid});
        Self::with_header(signer, &header, caller, method, target)
    }

    pub(crate) fn with_header(
        signer: &Signer,
        header: &Value,
        caller: &Principal,
        method: &str,
        target: &str,
    ) -> Self {
        let header: Header = serde_json::from_value(header.clone()).unwrap();
        assert_eq!(header.alg, Algorithm::EdDSA);
        let api = caller.0["aud"].as_str().unwrap_or("synq").parse().unwrap_or(Api::Synq);
        let binding_key = BINDING_KEYS.iter().find(|(candidate, _)| *candidate == api).unwrap().1;
        Self {
            bound_method: method.into(),
            bound_host: "api.test".into(),
            bound_target: target.into(),
            bound_id: "req-1".into(),
            bound_time: NOW,
            binding_key,
            token: encode(&header, &caller.0, &signer.key).unwrap(),
            bound_token: None,
            method: method.into(),
            target: target.into(),
            body: Bytes::new(),
        }
    }

    pub(crate) fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into().into();
        self
    }

    /// The value of `X-Claviger-Binding`.
    pub(crate) fn binding(&self) -> String {
        let token = self.bound_token.as_ref().unwrap_or(&self.token);
        let token = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, token.as_bytes()));
        let Self { bound_method, bound_host, bound_target, bound_id, bound_time, .. } = self;
        let text =
            format!("v1\n{token}\n{bound_method}\n{bound_host}\n{bound_target}\n{bound_id}\n{bound_time}");
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.binding_key), text.as_bytes());
        format!("v1.{bound_time}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    pub(crate) fn build(self) -> Request<Full<Bytes>> {
        Request::builder()
            .method(self.method.as_str())
            .uri(&self.target)
            .header(HOST, "api.test")
            .header("x-request-id", "req-1")
            .header("x-claviger-principal", &self.token)
            .header("x-claviger-binding", self.binding())
            .body(Full::from(self.body))
            .unwrap()
    }
}
