//! The door as tower middleware, for a service that wants to be its own gateway.
//!
//! Put [`ClavigerLayer`] outermost, where the path is still the one the client sent, and have whatever accepts
//! connections insert a [`ClientAddress`] into each request. The service behind it finds the proof that a
//! request was let in, an `Arc<Permit>`, in the request's extensions; the caller's credential, and every header
//! that only Claviger may write, is gone by then.
//!
//! ```
//! use std::convert::Infallible;
//! use std::sync::Arc;
//! use std::task::{Context, Poll};
//!
//! use claviger::layer::{ClavigerLayer, ClientAddress};
//! use claviger::testing::{TestDoor, now};
//! use claviger::{Permit, random::SystemRandom};
//! use http::{Request, Response};
//! use tower_layer::Layer;
//! use tower_service::Service;
//!
//! /// Says which tenant it serves. It can only be called by who was let in.
//! #[derive(Clone)]
//! struct WhoAmI;
//!
//! impl Service<Request<String>> for WhoAmI {
//!     type Response = Response<String>;
//!     type Error = Infallible;
//!     type Future = std::future::Ready<Result<Response<String>, Infallible>>;
//!
//!     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
//!         Poll::Ready(Ok(()))
//!     }
//!
//!     fn call(&mut self, request: Request<String>) -> Self::Future {
//!         let permit = request.extensions().get::<Arc<Permit>>().unwrap();
//!         std::future::ready(Ok(Response::new(permit.tenant().to_string())))
//!     }
//! }
//!
//! // A real `Door`, with a directory that holds what the test puts into it.
//! let test = TestDoor::new();
//! let home = test.tenant(&test.synq);
//! let editor = test.member(&home, "EDITOR");
//! let token = test.identity_token(&editor);
//!
//! let layer = ClavigerLayer::new(test.door.clone(), test.synq.clone(), Arc::new(SystemRandom));
//! let mut service = layer.layer(WhoAmI);
//!
//! let mut request = Request::get("/api/v1/orders").body(String::new()).unwrap();
//! request.extensions_mut().insert(ClientAddress { ip: "192.0.2.1".parse().unwrap(), secure: true });
//! let refused = now(service.call(request)).unwrap();
//! assert_eq!(refused.status(), 401);
//!
//! let mut request = Request::get("/api/v1/orders")
//!     .header("authorization", format!("Bearer {token}"))
//!     .body(String::new())
//!     .unwrap();
//! request.extensions_mut().insert(ClientAddress { ip: "192.0.2.1".parse().unwrap(), secure: true });
//! let answer = now(service.call(request)).unwrap();
//! assert_eq!(answer.body(), &home.tenant.to_string());
//! ```

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::UPGRADE;
use http::request::Parts;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::answer;
use crate::api::Api;
use crate::door::Door;
use crate::inbound::Inbound;
use crate::limit::Permit;
use crate::protected::remove_protected;
use crate::random::Random;
use crate::refusal::{Reason, Refusal};
use crate::route::Need;
use crate::target::Target;

/// Where a request came from: a request extension that whatever accepts connections inserts. Without it a
/// request is refused with 500, because an address that is made up would pass for a client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress {
    /// The address, trusted proxies looked through: see [`client_address`](crate::network::client_address).
    pub ip: IpAddr,
    /// Whether the request came over TLS, or a trusted proxy says so.
    pub secure: bool,
}

/// The request's name in answers and logs: a request extension. One that is there already is kept; otherwise the
/// layer makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub Arc<str>);

/// Puts the door before a service.
#[derive(Clone)]
pub struct ClavigerLayer(Arc<Shared>);

struct Shared {
    door: Arc<Door>,
    api: Arc<Api>,
    random: Arc<dyn Random>,
}

impl fmt::Debug for ClavigerLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClavigerLayer({})", self.0.api)
    }
}

impl ClavigerLayer {
    /// Before a service that is `api`. `random` names the requests that have no [`RequestId`] yet.
    pub fn new(door: Arc<Door>, api: Arc<Api>, random: Arc<dyn Random>) -> Self {
        Self(Arc::new(Shared { door, api, random }))
    }
}

impl<S> Layer<S> for ClavigerLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { shared: self.0.clone(), inner }
    }
}

/// A service behind the door: called with requests that were let in, and with no others.
///
/// The response to a refused request has its [`Refusal`] among its extensions, for the log. The response to one
/// that was let in has the `Arc<Permit>` there: a place of a concurrency limit is held until the last of them is
/// dropped, so a service whose body outlives its response's head keeps one with the body.
#[derive(Clone)]
pub struct Guarded<S> {
    shared: Arc<Shared>,
    inner: S,
}

impl<S: fmt::Debug> fmt::Debug for Guarded<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that was made ready goes along; the clone, which was not, stays for the next `poll_ready`.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let shared = self.shared.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let request_id = shared.name(&parts);
            let (permit, need) = match shared.decide(&parts).await {
                Ok((permit, need)) => (Arc::new(permit), need),
                Err(refusal) => return Ok(shared.refuse(refusal, &request_id).map(R::from)),
            };
            if !need.websocket() {
                // Without it nothing behind us leaves HTTP, on a route that did not ask for that.
                parts.headers.remove(UPGRADE);
            }
            remove_protected(&mut parts.headers, &shared.api.identity_headers.names);
            answer::write_request_id(&request_id.0, &mut parts.headers);
            parts.extensions.insert(request_id.clone());
            parts.extensions.insert(permit.clone());
            let mut response = inner.call(Request::from_parts(parts, body)).await?;
            shared.sign_off(permit, &request_id, &mut response);
            Ok(response)
        })
    }
}

impl Shared {
    async fn decide(&self, parts: &Parts) -> Result<(Permit, Need), Refusal> {
        let missing = Reason::Internal { why: "the request has no `ClientAddress` among its extensions" };
        let from = parts.extensions.get::<ClientAddress>().ok_or(missing)?;
        // Before the path is looked at, so that the answer to what came in clear is one and the same.
        self.api.check_transport(from.secure)?;
        let target = Target::of(&parts.uri)?;
        let need = self.api.routes.need(&parts.method, &target)?;
        let inbound = Inbound {
            method: &parts.method,
            target,
            headers: &parts.headers,
            client: from.ip,
            secure: from.secure,
        };
        let permit = self.door.decide(&self.api, &inbound, &need).await?;
        Ok((permit, need))
    }

    fn name(&self, parts: &Parts) -> RequestId {
        parts.extensions.get::<RequestId>().cloned().unwrap_or_else(|| {
            let mut bytes = [0; 16];
            self.random.fill(&mut bytes);
            RequestId(format!("{:032x}", u128::from_be_bytes(bytes)).into())
        })
    }

    fn refuse(&self, refusal: Refusal, request_id: &RequestId) -> Response<String> {
        let now = self.door.clock().now();
        let mut response = answer::refusal_response(&refusal, &self.api.envelope, &request_id.0, now);
        response.extensions_mut().insert(refusal);
        response
    }

    fn sign_off<R>(&self, permit: Arc<Permit>, request_id: &RequestId, response: &mut Response<R>) {
        if let Some(state) = permit.limit() {
            answer::write_limit_headers(state, self.door.clock().now(), response.headers_mut());
        }
        answer::write_request_id(&request_id.0, response.headers_mut());
        response.extensions_mut().insert(permit);
    }
}
