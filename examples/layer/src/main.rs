//! A service of its own with the door in front of it, and no gateway:
//!
//! ```text
//! cargo run -p claviger-example-layer
//! ```
//!
//! It serves on a free port of this machine and says how to ask it. What a real one has of its own is marked (1) to (3).
#![expect(clippy::print_stdout, reason = "it tells whoever runs it what to try")]

use std::convert::Infallible;
use std::future::{Ready, poll_fn, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use claviger::api::ApiSettings;
use claviger::credential::CredentialKind;
use claviger::layer::ClientAddress;
use claviger::network::Client;
use claviger::route::{Level, Paths, Route, RouteAccess, RouteTable};
use claviger::target::Oddities;
use claviger::testing::TestDoor;
use claviger::{ClavigerLayer, Permit};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tower_layer::Layer;
use tower_service::Service;

/// What an embedder's own mistakes end with.
type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The API: two resources under scoped keys, and a page that asks for nobody.
fn settings() -> Result<ApiSettings, AnyError> {
    let open = RouteAccess::Every(Level::Public);
    let routes = vec![
        Route::new("/orders", "orders".parse()?, vec![Method::GET, Method::POST]),
        Route::new("/orders/{id}", "orders".parse()?, vec![Method::GET, Method::DELETE]),
        Route { access: open, ..Route::new("/status", "status".parse()?, vec![Method::GET]) },
    ];
    // `None`: what is not listed is 404.
    let routes = RouteTable::new(routes, Paths::Exact, None, Oddities::default())?;
    let kinds = [CredentialKind::ApiKey].into_iter().collect();
    Ok(ApiSettings::new("shop".parse()?, "shop".parse()?, kinds, routes))
}

/// The service itself. It sees what was let in, and nothing else; the caller's credential is gone by now.
#[derive(Debug, Clone, Copy)]
struct Orders;

impl Service<Request<Incoming>> for Orders {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let caller = match request.extensions().get::<Arc<Permit>>() {
            Some(permit) => format!("tenant {} with {}", permit.tenant(), permit.principal().credential_id()),
            None => "somebody".to_owned(),
        };
        ready(Ok(Response::new(format!("{} {} for {caller}\n", request.method(), request.uri().path()))))
    }
}

/// Accepts connections until the listener fails, each request through the door.
///
/// # Errors
/// The listener's.
async fn serve(listener: TcpListener, layer: ClavigerLayer) -> io::Result<Infallible> {
    let guarded = layer.layer(Orders);
    loop {
        let (stream, peer) = listener.accept().await?;
        let guarded = guarded.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let mut guarded = guarded.clone();
                async move {
                    poll_fn(|context| guarded.poll_ready(context)).await?;
                    guarded.call(with_address(request, peer)).await
                }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A client that breaks off is no matter of ours.
            drop(connection.await);
        });
    }
}

/// (1) Whatever accepts connections says where a request comes from. Behind a load balancer that would be
/// [`claviger::network::client_address`].
fn with_address(mut request: Request<Incoming>, peer: SocketAddr) -> Request<Incoming> {
    let from = ClientAddress { client: Client::At(peer.ip()), secure: false };
    request.extensions_mut().insert(from);
    request
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AnyError> {
    let api = Arc::new(claviger::Api::new(settings()?)?);
    // (2) A `Door` before your own `Directory`, or `claviger-store`'s. This one knows one tenant, and forgets it.
    let test = TestDoor::new();
    let home = test.tenant(&api);
    let key = test.key(&home, "orders:read").text;
    // (3) Randomness for request ids: yours comes from the operating system.
    let layer = ClavigerLayer::new(test.door.clone(), api, test.random.clone());

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;
    println!("Serving on {at}; try, and end it with Ctrl-C:\n");
    println!("  curl -i http://{at}/status");
    println!("  curl -i http://{at}/orders");
    println!("  curl -i http://{at}/orders -H 'Authorization: Bearer {key}'");
    println!("  curl -i http://{at}/orders -H 'Authorization: Bearer {key}' -d '{{}}'\n");
    serve(listener, layer).await?;
    Ok(())
}
