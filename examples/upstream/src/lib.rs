//! Your API behind Claviger: a small server that trusts the signed principal token and nothing else.
//!
//! Every request goes through `guard` first, which makes the three checks a backend owes its users: the
//! principal token is Claviger's, it was made for this API, and it belongs to this very request. What is
//! behind it takes a `Caller`, which only those checks can make, so no answer can leave without them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

mod answer;
mod api;
mod binding;
mod call;
mod guard;
mod id;
mod keys;
mod shelf;
mod synaptiq;
mod syncello;
mod synq;

pub use api::Api;
pub use binding::BindingKey;

use answer::{Answer, Problem, json_answer};
use call::Call;
use guard::{Caller, Guard, Refused, Visitor};
use shelf::Shelf;

/// The largest request body, in bytes.
const BODY_LIMIT: usize = 10 * 1024 * 1024;
/// How long a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(30);
/// How long requests in flight may take to finish after the shutdown.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// How long to wait after `accept` failed, as it does when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where the time comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall-clock time.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// What the server must be told.
#[derive(Debug)]
pub struct Settings {
    /// The APIs this server answers for, each with the key under which Claviger binds its requests.
    /// The name of an API is the audience of its principal tokens.
    pub apis: HashMap<Api, BindingKey>,
    /// Where Claviger publishes the public keys of its principal tokens: an `http://` address.
    pub jwks_url: String,
    /// The wall clock; [`SystemClock`] outside tests.
    pub clock: Arc<dyn Clock>,
}

/// Answers requests on `listener` until `shutdown` completes, then lets those in flight finish.
///
/// # Errors
/// If `settings` name no API, or an address of public keys that is not `http://`.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let guard = Guard::new(settings.apis, &settings.jwks_url)?;
    let server = Arc::new(Server { guard, shelf: Shelf::default(), clock: settings.clock });
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&server), stopped.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop((listener, stop));
    // What is not done by then is cut off when `connections` goes.
    let _ = timeout(DRAIN_TIME, async { while connections.join_next().await.is_some() {} }).await;
    Ok(())
}

/// One connection, until it ends or the server does. Its errors are the client's going away.
async fn connection(stream: TcpStream, server: Arc<Server>, mut stopped: watch::Receiver<()>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(server.answer(request).await) }
    });
    let mut connection =
        pin!(http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

#[derive(Debug)]
struct Server {
    guard: Guard,
    shelf: Shelf,
    clock: Arc<dyn Clock>,
}

impl Server {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let now = self.clock.now();
        let caller = match self.guard.admit(&head, now).await {
            Ok(Visitor::Known(caller)) => caller,
            Ok(Visitor::Public(_)) if head.uri.path() == "/status" => {
                return json_answer(StatusCode::OK, &json!({"status": "ok"}));
            }
            // A path that is about somebody has nothing for nobody, whatever the settings of Claviger say.
            Ok(visitor) => return Problem::not_found().answer(visitor.api()),
            Err(refused) => return turn_away(refused),
        };
        let answer = match read(body).await {
            Ok(body) => self.serve(&Call::new(&head, &body, &caller, now), &head.headers),
            Err(problem) => Err(problem),
        };
        answer.unwrap_or_else(|problem| problem.answer(caller.aud))
    }

    fn serve(&self, call: &Call<'_>, headers: &HeaderMap) -> Result<Answer, Problem> {
        if call.path == "/echo" {
            return Ok(echo(call.caller, headers));
        }
        match call.caller.aud {
            Api::Synq => synq::answer(call, &self.shelf),
            Api::Synaptiq => synaptiq::answer(call, &self.shelf),
            Api::Syncello => syncello::answer(call),
        }
    }
}

/// The answer before it is known which API is meant, so in no API's own shape.
fn turn_away(refused: Refused) -> Answer {
    match refused {
        Refused::Stranger => json_answer(
            StatusCode::UNAUTHORIZED,
            &json!({"error": "this server only answers requests that come through Claviger"}),
        ),
        Refused::KeysUnavailable => json_answer(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({"error": "the public keys of Claviger cannot be fetched"}),
        ),
    }
}

async fn read(body: Incoming) -> Result<Bytes, Problem> {
    match timeout(BODY_TIME, Limited::new(body, BODY_LIMIT).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 10 MB"))
        }
        Ok(Err(_)) => Err(Problem::bad_request("the body ended early")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    }
}

/// What reached this server: the verified claims, and the names (never the values) of all headers.
fn echo(caller: &Caller, headers: &HeaderMap) -> Answer {
    let names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
    json_answer(StatusCode::OK, &json!({"principal": caller, "headers": names}))
}
