//! The door as middleware: what goes in, what comes out, and what the service behind it gets to see.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use claviger::layer::{ClientAddress, Guarded, RequestId};
use claviger::limit_rule::{Amount, Form, LimitRule, Per, PerAccess};
use claviger::network::Client;
use claviger::testing::{TestDoor, api, now, synaptiq};
use claviger::{ApiSettings, ClavigerLayer, Permit, PublicPermit, Refusal};
use http::{HeaderMap, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

const LEADS: &str = "/api/v1/leads";

/// Keeps the heads of what it was called with, and is ready once for each time it was asked to be.
#[derive(Default)]
struct Upstream {
    heads: Arc<Mutex<Vec<HeaderMap>>>,
    ready: bool,
}

/// As with a concurrency limit or a buffer: readiness belongs to the one that was asked.
impl Clone for Upstream {
    fn clone(&self) -> Self {
        Self { heads: self.heads.clone(), ready: false }
    }
}

impl Service<Request<String>> for Upstream {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without having been made ready");
        let known = request.extensions().get::<Arc<Permit>>().map(|permit| permit.tenant().to_string());
        let public = || request.extensions().get::<Arc<PublicPermit>>().unwrap().api().name.to_string();
        let answer = format!("{} {}", known.unwrap_or_else(public), request.body());
        self.heads.lock().unwrap().push(request.headers().clone());
        let mut response = Response::new(answer);
        response.headers_mut().insert("x-request-id", "the upstream's".parse().unwrap());
        ready(Ok(response))
    }
}

struct Front {
    test: TestDoor,
    heads: Arc<Mutex<Vec<HeaderMap>>>,
    service: Guarded<Upstream>,
}

impl Front {
    fn new() -> Self {
        Self::of(synaptiq())
    }

    fn of(settings: ApiSettings) -> Self {
        let test = TestDoor::new();
        let upstream = Upstream::default();
        let heads = upstream.heads.clone();
        let layer = ClavigerLayer::new(test.door.clone(), api(settings), test.random.clone());
        Self { test, heads, service: layer.layer(upstream) }
    }

    fn send(&mut self, request: Request<String>) -> Response<String> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(self.service.poll_ready(&mut context).is_ready());
        now(self.service.call(request)).unwrap()
    }

    fn seen(&self) -> usize {
        self.heads.lock().unwrap().len()
    }
}

fn from(secure: bool) -> ClientAddress {
    ClientAddress { client: Client::At([192, 0, 2, 1].into()), secure }
}

fn get(path: &str, headers: &[(&str, &str)]) -> Request<String> {
    let request =
        headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
    let mut request = request.body("body".to_owned()).unwrap();
    request.extensions_mut().insert(from(true));
    request
}

fn header<'a, B>(response: &'a Response<B>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[test]
fn who_is_let_in_reaches_the_service_with_a_permit_and_without_a_credential() {
    let mut front = Front::new();
    let home = front.test.tenant(&front.test.synaptiq);
    let bearer = format!("Bearer {}", front.test.key(&home, "read").text);
    let tenant = home.tenant.to_string();
    let response = front.send(get(
        LEADS,
        &[
            ("authorization", &bearer),
            ("x-tenant-id", &tenant),
            ("x_org_id", "anything"),
            ("x-claviger-principal", "forged"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-request-id", "forged"),
            ("x-http-method-override", "GET"),
            ("upgrade", "websocket"),
            ("accept", "text/plain"),
        ],
    ));
    assert_eq!(
        (response.status().as_u16(), response.body().as_str()),
        (200, format!("{tenant} body").as_str())
    );
    let id = header(&response, "x-request-id").to_owned();
    assert_eq!(id.len(), 32);
    let heads = front.heads.lock().unwrap();
    let mut names: Vec<_> = heads[0].keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "x-request-id"]);
    assert_eq!(heads[0]["x-request-id"], *id);
    assert_eq!(header(&response, "x-ratelimit-limit"), "120");
    assert_eq!(header(&response, "x-ratelimit-remaining"), "119");
    assert_eq!(header(&response, "x-ratelimit-reset"), "1700000060");
    assert!(response.extensions().get::<Arc<Permit>>().is_some());
}

#[test]
fn forwarding_14_a_wish_for_another_method_reaches_nothing() {
    let mut front = Front::new();
    let key = front.test.key(&front.test.tenant(&front.test.synaptiq), "admin").text;
    let bearer = format!("Bearer {key}");
    let response =
        front.send(get(LEADS, &[("authorization", &bearer), ("X-HTTP-Method-Override", "DELETE")]));
    assert_eq!(response.status(), 400);
    assert!(response.body().contains("a header wishes for another method"), "{}", response.body());
    assert!(front.heads.lock().unwrap().is_empty());
}

#[test]
fn a13_a14_who_is_refused_gets_the_apis_own_envelope_and_reaches_nothing() {
    let mut front = Front::new();
    let key = front.test.key(&front.test.tenant(&front.test.synaptiq), "read").text;
    let bearer = format!("Bearer {key}");
    let response = front.send(get(LEADS, &[]));
    assert_eq!(response.status(), 401);
    assert_eq!(
        response.body(),
        r#"{"error":{"code":"unauthorized","message":"Invalid or missing API key. Provide a valid Bearer token in the Authorization header.","doc_url":"https://synaptiqintel.com/docs/api-reference/authentication"}}"#
    );
    assert_eq!(header(&response, "www-authenticate"), "Bearer");
    assert_eq!(header(&response, "content-type"), "application/json");
    assert!(!header(&response, "x-request-id").is_empty());
    assert!(response.extensions().get::<Refusal>().is_some());

    let response = front.send(get(LEADS, &[("authorization", "Bearer sk_live_made_up")]));
    assert_eq!(header(&response, "www-authenticate"), "Bearer error=\"invalid_token\"");

    let response = front.send(get("/api/v1/keys", &[("authorization", &bearer)]));
    assert_eq!(response.status(), 403);
    assert!(
        response
            .body()
            .contains(r#""code":"forbidden","message":"The API key does not have the required scope."#)
    );
    assert_eq!(header(&response, "x-ratelimit-remaining"), "120");

    let mut put = get(LEADS, &[("authorization", &bearer)]);
    *put.method_mut() = http::Method::PUT;
    let response = front.send(put);
    assert_eq!((response.status().as_u16(), header(&response, "allow")), (405, "GET, POST, HEAD, OPTIONS"));

    let response = front.send(get("/api/v1//leads", &[("authorization", &bearer)]));
    assert_eq!(response.status(), 400);
    assert_eq!(front.seen(), 0);
}

#[test]
fn around_the_429_all_five_headers_are_there() {
    let mut front = Front::new();
    let bearer = format!("Bearer {}", front.test.key(&front.test.tenant(&front.test.synaptiq), "admin").text);
    let responses: Vec<_> = (0..31).map(|_| front.send(get(LEADS, &[("authorization", &bearer)]))).collect();
    let refused = &responses[30];
    assert_eq!(refused.status(), 429);
    assert!(refused.body().contains("rate_limited"));
    for (name, value) in [
        ("x-ratelimit-limit", "30"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1700000060"),
        ("x-ratelimit-retryafter", "60"),
        ("retry-after", "60"),
    ] {
        assert_eq!(header(refused, name), value, "{name}");
    }
    assert_eq!(front.seen(), 30);
}

#[test]
fn without_a_client_address_nobody_is_let_in() {
    let mut front = Front::new();
    let bearer = format!("Bearer {}", front.test.key(&front.test.tenant(&front.test.synaptiq), "read").text);
    let mut request = get(LEADS, &[("authorization", &bearer)]);
    request.extensions_mut().remove::<ClientAddress>();
    let response = front.send(request);
    assert_eq!(response.status(), 500);
    let refusal = response.extensions().get::<Refusal>().unwrap();
    assert!(refusal.to_string().contains("ClientAddress"), "{refusal}");
    assert!(!response.body().contains("ClientAddress"));
    assert_eq!(front.seen(), 0);
}

#[test]
fn a04_what_comes_in_clear_gets_one_answer_on_every_path() {
    let mut front = Front::new();
    let bearer = format!("Bearer {}", front.test.key(&front.test.tenant(&front.test.synaptiq), "read").text);
    for (path, headers) in [
        (LEADS, &[("authorization", bearer.as_str())][..]),
        (LEADS, &[]),
        ("/a//b", &[]),
        ("/elsewhere", &[]),
    ] {
        let mut request = get(path, headers);
        request.extensions_mut().insert(from(false));
        let response = front.send(request);
        assert_eq!(response.status(), 403, "{path}");
        assert!(response.body().contains("https_required"), "{path}");
    }
    assert_eq!(front.seen(), 0);
}

#[test]
fn a_request_keeps_the_name_it_has() {
    let mut front = Front::new();
    let mut request = get(LEADS, &[]);
    request.extensions_mut().insert(RequestId("r-7".into()));
    assert_eq!(header(&front.send(request), "x-request-id"), "r-7");
}

#[test]
fn the_service_that_was_made_ready_is_the_one_that_is_called() {
    let mut front = Front::new();
    let bearer = format!("Bearer {}", front.test.key(&front.test.tenant(&front.test.synaptiq), "read").text);
    // `Upstream` panics where it was not made ready, and its clones are not.
    for _ in 0..3 {
        assert_eq!(front.send(get(LEADS, &[("authorization", &bearer)])).status(), 200);
    }
    assert_eq!(front.seen(), 3);
}

#[test]
fn a_place_is_held_until_the_response_is_dropped() {
    let amount = Amount { by_plan: Vec::new(), otherwise: PerAccess::flat(1) };
    let at_once = LimitRule { name: "at-once".into(), per: Per::Tenant, form: Form::Concurrency, amount };
    let mut front = Front::of(ApiSettings { limits: vec![at_once], ..synaptiq() });
    let bearer = format!("Bearer {}", front.test.key(&front.test.tenant(&front.test.synaptiq), "read").text);
    let first = front.send(get(LEADS, &[("authorization", &bearer)]));
    assert_eq!(front.send(get(LEADS, &[("authorization", &bearer)])).status(), 429);
    drop(first);
    assert_eq!(front.send(get(LEADS, &[("authorization", &bearer)])).status(), 200);
}

#[test]
fn the_layer_can_be_cloned_and_used_by_many() {
    let front = Front::new();
    let bearer = format!("Bearer {}", front.test.key(&front.test.tenant(&front.test.synaptiq), "read").text);
    let passed = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (mut service, bearer, passed) = (front.service.clone(), bearer.clone(), passed.clone());
            scope.spawn(move || {
                for _ in 0..50 {
                    let mut context = Context::from_waker(std::task::Waker::noop());
                    assert!(service.poll_ready(&mut context).is_ready());
                    let response = now(service.call(get(LEADS, &[("authorization", &bearer)]))).unwrap();
                    passed.fetch_add(usize::from(response.status() == 200), Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(passed.load(Ordering::SeqCst), 120);
}

/// Synaptiq, for a web page, with something that asks for nobody.
fn for_a_page() -> Front {
    let status = claviger::route::Route {
        access: claviger::route::RouteAccess::Every(claviger::route::Level::Public),
        ..claviger::route::Route::new("/status", "status".parse().unwrap(), vec![http::Method::GET])
    };
    let leads = claviger::route::Route::new(LEADS, "leads".parse().unwrap(), vec![http::Method::GET]);
    let routes = claviger::testing::table(vec![status, leads]);
    let carriers =
        claviger::api::Carriers { header: Some("x-api-key".parse().unwrap()), ..Default::default() };
    let cors_origins = vec!["https://app.example".to_owned()];
    Front::of(ApiSettings { routes, carriers, cors_origins, ..synaptiq() })
}

#[test]
fn a_preflight_is_answered_from_the_routes_and_reaches_nothing() {
    let mut front = for_a_page();
    let mut preflight = |path: &str, origin: &str, method: &str| {
        let headers = [("origin", origin), ("access-control-request-method", method)];
        let mut request = get(path, &headers);
        *request.method_mut() = http::Method::OPTIONS;
        front.send(request)
    };
    let good = preflight(LEADS, "https://app.example", "GET");
    assert_eq!((good.status().as_u16(), good.body().as_str()), (204, ""));
    assert_eq!(header(&good, "access-control-allow-origin"), "https://app.example");
    assert_eq!(header(&good, "access-control-allow-methods"), "GET");
    let allowed = header(&good, "access-control-allow-headers");
    for name in ["authorization", "content-type", "x-tenant-id", "x-org-id", "x-api-key"] {
        assert!(allowed.split(", ").any(|listed| listed == name), "{name} in {allowed}");
    }
    assert_eq!(header(&good, "vary"), "Origin");
    assert!(!header(&good, "x-request-id").is_empty());
    let other_method = preflight(LEADS, "https://app.example", "DELETE");
    assert_eq!(header(&other_method, "access-control-allow-methods"), "GET, HEAD, OPTIONS");
    let stranger = preflight(LEADS, "https://evil.example", "GET");
    assert_eq!((stranger.status().as_u16(), header(&stranger, "access-control-allow-origin")), (401, ""));
    assert_eq!(front.seen(), 0);
}

#[test]
fn a_page_that_may_call_can_read_what_it_is_refused_for() {
    let mut front = for_a_page();
    let refused = front.send(get(LEADS, &[("origin", "https://app.example")]));
    assert_eq!(
        (refused.status().as_u16(), header(&refused, "access-control-allow-origin")),
        (401, "https://app.example")
    );
    let stranger = front.send(get(LEADS, &[("origin", "https://evil.example")]));
    assert_eq!(header(&stranger, "access-control-allow-origin"), "");
}

#[test]
fn a_public_request_reaches_the_service_without_what_it_showed() {
    let mut front = for_a_page();
    let response = front.send(get(
        "/status",
        &[
            ("authorization", "Bearer anything"),
            ("x_api_key", "anything"),
            ("x-tenant-id", "forged"),
            ("x-claviger-principal", "forged"),
            ("sec-websocket-protocol", "claviger.bearer.anything, v2"),
            ("accept", "text/plain"),
        ],
    ));
    assert_eq!((response.status().as_u16(), response.body().as_str()), (200, "synaptiq body"));
    assert!(response.extensions().get::<Arc<PublicPermit>>().is_some());
    assert!(response.extensions().get::<Arc<Permit>>().is_none());
    let heads = front.heads.lock().unwrap();
    let mut names: Vec<_> = heads[0].keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "sec-websocket-protocol", "x-request-id"]);
    assert_eq!(heads[0]["sec-websocket-protocol"], "v2");
}
