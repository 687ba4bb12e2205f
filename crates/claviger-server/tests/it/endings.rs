//! Exchanges from their first byte to their last: what ends them, what they leave, and what they hold until then.

use std::time::Duration;

use claviger_server::on_every_store;
use claviger_server::testing::{
    Behind, Client, Connection, Home, Key, On, Plan, TestServer, add_route, eventually, took,
};
use serde_json::Value;
use toml::Table;

on_every_store!(
    forwarding_01_a_withdrawn_credential_keeps_nothing_open,
    forwarding_01_a_place_of_a_limit_is_held_to_the_end,
    forwarding_02_an_effect_has_a_trace_however_the_exchange_ends,
    forwarding_02_what_http_cannot_read_is_answered_and_written_down,
    forwarding_03_a_refusal_says_whose_it_was_and_what_was_wrong,
);

const LIMIT: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(5);

fn started(on: On, more: &dyn Fn(&mut Table)) -> TestServer {
    let settings = |settings: &mut Table| {
        let socket = "resource = \"socket\"\naccess = \"read\"\nwebsocket = true";
        add_route(settings, &format!("path = \"/declined\"\n{socket}"));
        add_route(settings, &format!("path = \"/socket\"\n{socket}"));
        more(settings);
    };
    TestServer::start_as(&Plan { on, behind: Behind::Recorder, settings: &settings })
}

/// A key that may do everything, and its home.
fn customer(server: &TestServer) -> (Home, Key) {
    let home = server.tenant("synaptiq", "Northwind");
    let key = server.key(&home, "admin");
    (home, key)
}

/// An answer that has begun.
fn begin(client: &Client, path: &str, key: &str) -> Connection {
    let mut connection = client.connect();
    connection.send(client.get(path).bearer(key).bytes());
    let head = connection.until("\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    connection
}

/// The same after a WebSocket was asked for.
fn upgrade(client: &Client, path: &str, key: &str, begins: &str) -> Connection {
    let mut connection = client.connect();
    let upgrade = client
        .get(path)
        .bearer(key)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    connection.send(upgrade.bytes());
    let head = connection.until("\r\n\r\n");
    assert!(head.starts_with(begins), "{head}");
    connection
}

/// A request that the upstream has, and does not answer.
fn hanging(server: &TestServer, method: &str, key: &str) -> Connection {
    let before = server.recorder().count();
    let mut connection = server.synaptiq().connect();
    connection.send(server.synaptiq().request(method, "/hanging").bearer(key).bytes());
    eventually("the upstream has the request", SOON, || server.recorder().count() > before);
    connection
}

fn forwarding_01_a_withdrawn_credential_keeps_nothing_open(on: On) {
    let server = started(on, &|_| {});
    let home = server.tenant("synaptiq", "Northwind");
    let (ended, other) = (server.key(&home, "admin"), server.key(&home, "admin"));
    let open = |key: &Key| {
        let declined = upgrade(&server.synaptiq(), "/declined", &key.text, "HTTP/1.1 200");
        let socket = upgrade(&server.synaptiq(), "/socket", &key.text, "HTTP/1.1 101");
        [("declined", declined), ("socket", socket), ("waiting", hanging(&server, "GET", &key.text))]
    };
    let (mine, mut others) = (open(&ended), open(&other));
    server.run(server.store(home.tenant).key_revoke(ended.id)).unwrap();
    for (what, mut connection) in mine {
        let time = took(|| connection.until_closed());
        assert!(time <= LIMIT, "{what} ended after {time:?}");
    }
    others[0].1.until("data: tick");
    others[1].1.send("still here");
    others[1].1.until("still here");
}

fn forwarding_01_a_place_of_a_limit_is_held_to_the_end(on: On) {
    let limit = "name = \"at-once\"\nper = \"tenant\"\nform = \"concurrency\"\notherwise = { admin = 2 }";
    let server = started(on, &|settings| {
        for api in settings["api"].as_array_mut().unwrap() {
            let api = api.as_table_mut().unwrap();
            if api["name"].as_str() == Some("synaptiq") {
                api.insert("limit".into(), vec![limit.parse::<Table>().unwrap()].into());
            }
        }
    });
    let (_, key) = customer(&server);
    let get = || server.synaptiq().get("/api/v1/leads").bearer(&key.text).status();
    type Open = fn(&TestServer, &str) -> Connection;
    let ways: [(&str, Open); 3] = [
        ("declined", |server, key| upgrade(&server.synaptiq(), "/declined", key, "HTTP/1.1 200")),
        ("socket", |server, key| upgrade(&server.synaptiq(), "/socket", key, "HTTP/1.1 101")),
        ("waiting", |server, key| hanging(server, "POST", key)),
    ];
    for (what, open) in ways {
        let (first, second) = (open(&server, &key.text), open(&server, &key.text));
        assert_eq!((get(), get()), (429, 429), "{what}");
        drop(first);
        eventually("a place is free again", SOON, || get() == 200);
        drop(second);
        eventually("both are", SOON, || {
            let third = open(&server, &key.text);
            let free = get() == 200;
            drop(third);
            free
        });
        eventually("all are", SOON, || get() == 200 && get() == 200);
    }
}

/// The lines of the access log, in the order in which their requests came.
fn lines(text: &str) -> Vec<Value> {
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(|line| line["request_id"].as_str().unwrap().to_owned());
    lines
}

fn forwarding_02_an_effect_has_a_trace_however_the_exchange_ends(on: On) {
    let mut server = started(on, &|_| {});
    let (home, key) = customer(&server);
    let doomed = server.key(&home, "admin");
    let figure = |end: &str| {
        let metrics = server.ops().get("/metrics").send().expect(200).text();
        let name = format!("claviger_exchanges_cut_short_total{{api=\"synaptiq\",end=\"{end}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(name.as_str()).map(str::to_owned));
        line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse::<u64>().unwrap()
    };
    // 0: whole. 1: the upstream has the request, and the client does not wait for the answer.
    server.synaptiq().get("/api/v1/leads").bearer(&key.text).send().expect(200);
    drop(hanging(&server, "POST", &key.text));
    eventually("a client that has gone is counted", SOON, || figure("client_gone") == 1);
    // 2: gone in the middle of the answer. 3: the upstream breaks off. 4: withdrawn. 5: a tunnel to its end.
    let mut events = begin(&server.synaptiq(), "/events", &key.text);
    events.until("data: tick");
    drop(events);
    eventually("so is one that goes in the middle", SOON, || figure("client_gone") == 2);
    begin(&server.synaptiq(), "/torn", &key.text).until_closed();
    // The client may see the end before it is counted.
    eventually("so is an upstream that breaks off", SOON, || figure("upstream_broken") == 1);
    let mut waiting = hanging(&server, "GET", &doomed.text);
    server.run(server.store(home.tenant).key_revoke(doomed.id)).unwrap();
    waiting.until_closed();
    eventually("so is a withdrawal", SOON, || figure("withdrawn") == 1);
    drop(upgrade(&server.synaptiq(), "/socket", &key.text, "HTTP/1.1 101"));
    // 6: a HEAD, whose body is never asked for. 7: the server is stopped.
    server.synaptiq().request("HEAD", "/api/v1/leads").bearer(&key.text).send().expect(200);
    let last = begin(&server.synaptiq(), "/events", &key.text);
    let log = server.stop_and_read_access_log();
    drop(last);

    let told: Vec<(Value, Value, Value)> = lines(&log)
        .iter()
        .map(|line| (line["method"].clone(), line["status"].clone(), line["end"].clone()))
        .collect();
    let line = |method: &str, status: u16, end: Option<&str>| (method.into(), status.into(), end.into());
    assert_eq!(
        told,
        [
            line("GET", 200, None),
            line("POST", 499, Some("client_gone")),
            line("GET", 200, Some("client_gone")),
            line("GET", 200, Some("upstream_broken")),
            line("GET", 499, Some("withdrawn")),
            line("GET", 101, None),
            line("HEAD", 200, None),
            line("GET", 200, Some("stopped")),
        ],
        "{log}"
    );
    for line in lines(&log) {
        let used = if line["end"] == "withdrawn" { &doomed } else { &key };
        assert_eq!(line["credential"], used.id.to_string(), "{line}");
        assert_eq!(
            (line["tenant"].as_str(), line["org"].as_str()),
            (Some(&*home.tenant.to_string()), Some(&*home.org.to_string()))
        );
        let total = line["total_micros"].as_u64().unwrap();
        assert!((line["micros"].as_u64().unwrap()..60_000_000).contains(&total), "{line}");
        assert_eq!(line["upstream"].is_string(), line["end"] == "upstream_broken", "{line}");
    }
}

fn forwarding_02_what_http_cannot_read_is_answered_and_written_down(on: On) {
    let mut server = started(on, &|_| {});
    let (_, key) = customer(&server);
    let client = server.synaptiq();
    let head = format!("Host: synaptiq.localhost\r\nAuthorization: Bearer {}\r\n", key.text);
    let large: String = (0..200).map(|at| format!("X-{at}: 1\r\n")).collect();
    let cases = [
        ("GET /a b HTTP/1.1\r\n\r\n".to_owned(), 400, "bad_request"),
        (format!("GET /api/v1/leads?a=\"{{ HTTP/1.1\r\nBad Header: x\r\n{head}\r\n"), 400, "bad_request"),
        (format!("GET /api/v1/leads#part HTTP/1.1\r\n{head}\r\n"), 400, "bad_request"),
        (format!("GET /{}?{} HTTP/1.1\r\n{head}\r\n", key.text, "a".repeat(9000)), 414, "uri_too_long"),
        (format!("GET /api/v1/leads HTTP/1.1\r\n{head}{large}\r\n"), 431, "headers_too_large"),
        (
            format!(
                "GET /api/v1/leads HTTP/1.1\r\n{head}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
            ),
            400,
            "bad_request",
        ),
    ];
    for (bytes, status, code) in &cases {
        let answer = client.raw(bytes).expect(*status);
        assert_eq!(answer.json()["code"], *code, "{bytes:?}");
        assert!(answer.header("x-request-id").is_some_and(|id| id.len() == 32), "{answer:?}");
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(answer.header("date").is_some(), "{answer:?}");
    }
    assert_eq!(server.recorder().count(), 0);
    let metrics = server.ops().get("/metrics").send().expect(200).text();
    assert!(metrics.contains("claviger_requests_total{api=\"\",outcome=\"bad_request\"} 4"), "{metrics}");
    let log = server.stop_and_read_access_log();
    assert!(!log.contains(&key.text[12..]), "{log}");
    let told = lines(&log);
    assert_eq!(told.len(), cases.len(), "{log}");
    for (line, (_, status, code)) in told.iter().zip(&cases) {
        assert_eq!((&line["status"], &line["code"]), (&Value::from(*status), &Value::from(*code)), "{line}");
        assert_eq!((&line["method"], &line["client"]), (&Value::from("GET"), &Value::from("127.0.0.1")));
    }
    let paths: Vec<&str> = told.iter().map(|line| line["path"].as_str().unwrap()).collect();
    let leads = "/api/v1/leads";
    assert_eq!(paths, ["/a", leads, leads, "/***", leads, leads]);
}

fn forwarding_03_a_refusal_says_whose_it_was_and_what_was_wrong(on: On) {
    let mut server = started(on, &|_| {});
    let home = server.tenant("synaptiq", "Northwind");
    let (admin, reader) = (server.key(&home, "admin"), server.key(&home, "read"));
    let client = server.synaptiq();
    client.get("/broken").bearer(&admin.text).send().expect(502);
    client.post("/api/v1/leads", &Value::Null).bearer(&reader.text).send().expect(403);
    let hidden = admin.text.replace('_', "%5f");
    client.get(&format!("/x/{hidden}")).bearer(&reader.text).send().expect(404);
    client.request(&admin.text, "/api/v1/leads").bearer(&reader.text).send().expect(405);
    client.get("/api/v1/leads").bearer("sk_live_k1_nobodys").send().expect(401);
    let log = server.stop_and_read_access_log();
    assert!(!log.contains(&admin.text[12..]) && !log.to_lowercase().contains("%5flive"), "{log}");
    let told = lines(&log);
    for (line, key) in told.iter().zip([Some(&admin), Some(&reader), None, Some(&reader), None]) {
        assert_eq!(line["credential"].as_str(), key.map(|key| key.id.to_string()).as_deref(), "{line}");
        assert_eq!(line["tenant"].as_str(), key.map(|_| home.tenant.to_string()).as_deref(), "{line}");
    }
    let broken = &told[0];
    assert_eq!(broken["upstream"].as_str().unwrap().get(..17), Some("http://127.0.0.1:"), "{broken}");
    let reason = broken["reason"].as_str().unwrap();
    assert!(reason.starts_with("upstream closed the connection before it answered"), "{reason}");
    assert_eq!((&told[2]["path"], &told[3]["method"]), (&Value::from("/x/***"), &Value::from("***")));
}
