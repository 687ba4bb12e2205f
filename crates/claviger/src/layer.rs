//! The door as tower middleware, for a service that wants to be its own gateway.
//!
//! Put [`ClavigerLayer`] outermost, where the path is still the one the client sent, and have whatever accepts
//! connections insert a [`ClientAddress`] into each request. The service behind it finds the proof that a
//! request was let in, an `Arc<Permit>`, in the request's extensions; the caller's credential, and every header
//! that only Claviger may write, is gone by then.
//!
//! A preflight of a page that may call is answered from the API's routes, before anybody is asked who they are. A
//! request to a public route finds an `Arc<PublicPermit>` in its place.
//!
//! `examples/layer` is a whole service behind it: `cargo run -p claviger-example-layer`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::UPGRADE;
use http::request::Parts;
use http::{Extensions, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::answer;
use crate::api::Api;
use crate::cors;
use crate::door::{Admitted, Door};
use crate::inbound::Inbound;
use crate::limit_rule::LimitState;
use crate::network::Client;
use crate::protected::Protected;
use crate::random::Random;
use crate::refusal::{Reason, Refusal};
use crate::target::Target;

/// Where a request came from: a request extension that whatever accepts connections inserts. Without it a
/// request is refused with 500, because an address that is made up would pass for a client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress {
    /// The client, trusted proxies looked through: see [`client_address`](crate::network::client_address).
    pub client: Client,
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
    protected: Protected,
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
        let protected = Protected::new(&api, []);
        Self(Arc::new(Shared { door, api, protected, random }))
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
            let origin = cors::allowed_origin(&shared.api, &parts.headers);
            let mut response = match shared.decide(&parts, &request_id).await {
                Ok(Decision::Preflight(response)) => return Ok(response.map(R::from)),
                Err(refusal) => shared.refuse(refusal, &request_id).map(R::from),
                Ok(Decision::Admitted(admitted)) => {
                    match shared.prepare(&mut parts, &request_id, &admitted) {
                        Err(reason) => shared.refuse(reason.into(), &request_id).map(R::from),
                        Ok(()) => {
                            let response = inner.call(Request::from_parts(parts, body)).await?;
                            shared.sign_off(&admitted, &request_id, response)
                        }
                    }
                }
            };
            cors::mark(&shared.api, origin, response.headers_mut());
            Ok(response)
        })
    }
}

/// What becomes of a request.
enum Decision {
    /// It asked whether a page may ask, and is answered.
    Preflight(Response<String>),
    Admitted(Kept),
}

/// What a request was let in on, as it is handed on.
enum Kept {
    Known(Arc<crate::Permit>),
    Public(Arc<crate::PublicPermit>),
}

impl Kept {
    fn insert_into(&self, extensions: &mut Extensions) {
        match self {
            Self::Known(permit) => extensions.insert(permit.clone()).map(drop),
            Self::Public(permit) => extensions.insert(permit.clone()).map(drop),
        };
    }

    fn may_upgrade(&self) -> bool {
        match self {
            Self::Known(permit) => permit.need().websocket(),
            Self::Public(permit) => permit.need().websocket(),
        }
    }

    fn limit(&self) -> Option<&LimitState> {
        match self {
            Self::Known(permit) => permit.limit(),
            Self::Public(permit) => permit.limit(),
        }
    }
}

impl Shared {
    async fn decide(&self, parts: &Parts, request_id: &RequestId) -> Result<Decision, Refusal> {
        let missing = Reason::Internal { why: "the request has no `ClientAddress` among its extensions" };
        let from = parts.extensions.get::<ClientAddress>().ok_or(missing)?;
        // Before the path is looked at, so that the answer to what came in clear is one and the same.
        if self.api.requires_https && !from.secure {
            return Err(Reason::HttpsRequired.into());
        }
        let inbound = Inbound {
            method: &parts.method,
            target: Target::of(&parts.uri)?,
            headers: &parts.headers,
            client: from.client,
            secure: from.secure,
        };
        if let Some(answer) = cors::preflight(&self.api, &inbound, &request_id.0) {
            return answer.map(Decision::Preflight);
        }
        Ok(Decision::Admitted(match self.door.decide(&self.api, &inbound).await? {
            Admitted::Known(permit) => Kept::Known(Arc::new(permit)),
            Admitted::Public(permit) => Kept::Public(Arc::new(permit)),
        }))
    }

    fn prepare(&self, parts: &mut Parts, request_id: &RequestId, admitted: &Kept) -> Result<(), Reason> {
        if !admitted.may_upgrade() {
            // Without it nothing behind us leaves HTTP, on a route that did not ask for that.
            parts.headers.remove(UPGRADE);
        }
        self.protected.remove_from(&parts.method, &mut parts.headers)?;
        answer::write_request_id(&request_id.0, &mut parts.headers);
        parts.extensions.insert(request_id.clone());
        admitted.insert_into(&mut parts.extensions);
        Ok(())
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

    fn sign_off<R>(&self, admitted: &Kept, request_id: &RequestId, mut response: Response<R>) -> Response<R> {
        if let Some(state) = admitted.limit() {
            answer::write_limit_headers(state, self.door.clock().now(), response.headers_mut());
        }
        answer::write_request_id(&request_id.0, response.headers_mut());
        admitted.insert_into(response.extensions_mut());
        response
    }
}
