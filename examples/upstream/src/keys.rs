//! Claviger's public keys: fetched when first needed, and again when a token names one that is not known.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, JwkSet};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long a fetch may take.
const FETCH_TIME: Duration = Duration::from_secs(2);
/// The largest set of keys, in bytes.
const SET_LIMIT: usize = 64 * 1024;
/// Between two fetches, so that made-up key ids cost Claviger little.
const FETCH_PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// The keys could not be fetched, so nobody can say whether the token is good.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unavailable;

type KeysById = HashMap<String, DecodingKey>;

#[derive(Debug)]
pub(crate) struct Keys {
    url: Uri,
    known: RwLock<KeysById>,
    /// Held during a fetch, so that there is one at a time; requests with a known key do not wait for it.
    last_fetch: Mutex<Option<(Timestamp, Result<(), Unavailable>)>>,
}

impl Keys {
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        let parsed: Uri = url.parse().with_context(|| format!("`{url}` is not an address"))?;
        ensure!(
            parsed.scheme_str() == Some("http") && parsed.host().is_some(),
            "`{url}` does not begin with `http://` and a host"
        );
        Ok(Self { url: parsed, known: RwLock::default(), last_fetch: Mutex::new(None) })
    }

    /// The public key with this id. `None`: Claviger does not publish such a key.
    pub(crate) async fn find(&self, kid: &str, now: Timestamp) -> Result<Option<DecodingKey>, Unavailable> {
        if let Some(key) = self.known(kid) {
            return Ok(Some(key));
        }
        let mut last = self.last_fetch.lock().await;
        match *last {
            Some((time, outcome)) if now.duration_since(time).abs() < FETCH_PAUSE => outcome?,
            _ => {
                let fetched = timeout(FETCH_TIME, fetch(&self.url)).await;
                let outcome = match fetched {
                    Ok(Ok(keys)) => {
                        *self.known.write().unwrap_or_else(PoisonError::into_inner) = keys;
                        Ok(())
                    }
                    Ok(Err(_)) | Err(_) => Err(Unavailable),
                };
                *last = Some((now, outcome));
                outcome?;
            }
        }
        Ok(self.known(kid))
    }

    fn known(&self, kid: &str) -> Option<DecodingKey> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(kid).cloned()
    }
}

async fn fetch(url: &Uri) -> anyhow::Result<KeysById> {
    let authority = url.authority().context("no authority")?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path).header(HOST, authority.as_str()).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    ensure!(response.status() == StatusCode::OK, "status {}", response.status());
    let body =
        Limited::new(response.into_body(), SET_LIMIT).collect().await.map_err(anyhow::Error::from_boxed)?;
    let set: JwkSet = serde_json::from_slice(&body.to_bytes())?;
    // The set may hold keys for other uses and algorithms; a principal token is always Ed25519.
    Ok(set
        .keys
        .into_iter()
        .filter(|jwk| match &jwk.algorithm {
            AlgorithmParameters::OctetKeyPair(pair) => pair.curve == EllipticCurve::Ed25519,
            _ => false,
        })
        .filter_map(|jwk| Some((jwk.common.key_id.clone()?, DecodingKey::from_jwk(&jwk).ok()?)))
        .collect())
}
