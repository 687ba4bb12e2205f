//! Settings that change while the server runs.

use std::time::Duration;

use claviger_server::failure::Failure;
use claviger_server::management::{Caller, call};
use claviger_server::on_every_store;
use claviger_server::testing::{Behind, Client, On, Plan, TestServer, add_route, took};
use serde_json::{Value, json};
use toml::Table;

use crate::streams::{echoes, socket};

on_every_store!(
    what_changed_is_taken_up_and_connections_go_on,
    what_is_wrong_is_refused_whole_and_said,
    what_is_counted_goes_on_being_counted,
    what_is_open_ends_where_the_new_settings_would_not_let_it_in,
    a_new_realm_is_there_when_its_api_is,
);

/// Changes the settings' file, and has it read again.
fn reload(server: &TestServer, change: impl Fn(&mut Table)) -> Result<Value, Failure> {
    let mut settings: Table = std::fs::read_to_string(server.config()).unwrap().parse().unwrap();
    change(&mut settings);
    std::fs::write(server.config(), toml::to_string(&settings).unwrap()).unwrap();
    let caller = Caller::at_home();
    let reload = call(server.management(), &caller, "settings.reload", json!({}), None);
    server.run(reload).map(|outcome| outcome.value)
}

/// The settings of one API.
fn api<'a>(settings: &'a mut Table, name: &str) -> &'a mut Table {
    let apis = settings["api"].as_array_mut().unwrap();
    apis.iter_mut()
        .map(|api| api.as_table_mut().unwrap())
        .find(|api| api["name"].as_str() == Some(name))
        .unwrap()
}

fn what_changed_is_taken_up_and_connections_go_on(on: On) {
    let server = TestServer::recording(on);
    let token = server.token(&server.tenant("synq", "Northwind").owner).text;
    let mut connection = server.synq().connect();
    let mut ask = |target: &str| {
        connection.send(server.synq().get(target).bearer(&token).bytes());
        connection.answer(false).status
    };
    assert_eq!((ask("/api/v1/products"), ask("/api/v1/novelties")), (200, 404));
    let other = server.client(0, "other.localhost");
    assert_eq!(other.get("/api/v1/products").bearer(&token).status(), 421);
    let reloaded = reload(&server, |settings| {
        let synq = api(settings, "synq");
        synq["hosts"].as_array_mut().unwrap().push("other.localhost".into());
        let route: Table = "path = \"/api/v1/novelties\"\nresource = \"products\"".parse().unwrap();
        synq["route"].as_array_mut().unwrap().push(route.into());
    });
    // Those that are like it change with it.
    assert_eq!(reloaded.unwrap()["changed"], json!(["synq", "synq-strict"]));
    assert_eq!((ask("/api/v1/products"), ask("/api/v1/novelties")), (200, 200));
    assert_eq!(other.get("/api/v1/products").bearer(&token).status(), 200);
    // The same again changes nothing.
    let again = reload(&server, |_| {}).unwrap();
    assert_eq!(again, json!({ "added": [], "changed": [], "removed": [] }));
    // An API that is gone answers to nobody.
    let gone = reload(&server, |settings| {
        settings["api"].as_array_mut().unwrap().retain(|api| api["name"].as_str() != Some("synq-strict"));
    });
    assert_eq!(gone.unwrap()["removed"], json!(["synq-strict"]));
    assert_eq!(server.client(0, "synq-strict.localhost").get("/").status(), 421);
    assert_eq!(ask("/api/v1/products"), 200);
}

fn what_is_wrong_is_refused_whole_and_said(on: On) {
    let server = TestServer::recording(on);
    let token = server.token(&server.tenant("synq", "Northwind").owner).text;
    let status = |target: &str| server.synq().get(target).bearer(&token).status();
    let good = std::fs::read_to_string(server.config()).unwrap();
    let route: Table = "path = \"/api/v1/novelties\"\nresource = \"products\"".parse().unwrap();
    let with = |change: &dyn Fn(&mut Table)| {
        std::fs::write(server.config(), &good).unwrap();
        let failure = reload(&server, |settings| {
            // What is right beside what is wrong is not taken up either.
            api(settings, "synq")["route"].as_array_mut().unwrap().push(route.clone().into());
            change(settings);
        })
        .expect_err("refused");
        assert_eq!(status("/api/v1/novelties"), 404, "{failure}");
        assert_eq!(status("/api/v1/products"), 200, "{failure}");
        failure.to_string()
    };
    let said = with(&|settings| {
        api(settings, "synq")["roles"]
            .as_table_mut()
            .unwrap()
            .insert("ADMIN".into(), "everything:all".into());
    });
    assert!(said.contains("roles"), "{said}");
    let said = with(&|settings| {
        settings.insert("directory".into(), toml::toml! { max_entries = 1000 }.into());
    });
    assert!(said.contains("`[directory]`") && said.contains("nothing was taken up"), "{said}");
    let said = with(&|settings| {
        api(settings, "synq")["hosts"].as_array_mut().unwrap().push("syncello.localhost".into());
    });
    assert!(said.contains("host already"), "{said}");
    std::fs::write(server.config(), "[[api").unwrap();
    let said = server.run(call(server.management(), &Caller::at_home(), "settings.reload", json!({}), None));
    assert!(said.is_err() && status("/api/v1/products") == 200);
    let ops = server.app().ops_address();
    let metrics = Client::new(ops, &ops.to_string()).get("/metrics").send().text();
    assert!(metrics.contains("claviger_settings_refusals_total 4"), "{metrics}");
    assert!(metrics.contains("claviger_settings_reloads_total 0"));
    std::fs::write(server.config(), &good).unwrap();
    assert!(reload(&server, |_| {}).is_ok());
}

fn what_is_counted_goes_on_being_counted(on: On) {
    let server = TestServer::recording(on);
    let key = server.key(&server.tenant("synaptiq", "Northwind"), "admin").text;
    let left = || {
        let answer = server.synaptiq().get("/api/v1/leads").bearer(&key).send();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("x-ratelimit-remaining").unwrap().parse::<u64>().unwrap()
    };
    let before = left();
    assert_eq!(left(), before - 1);
    let reloaded = reload(&server, |settings| {
        api(settings, "synaptiq").insert("max_body_bytes".into(), 4711.into());
    });
    assert_eq!(reloaded.unwrap()["changed"], json!(["synaptiq"]));
    assert_eq!(left(), before - 2);
}

const LIMIT: Duration = Duration::from_secs(2);

fn what_is_open_ends_where_the_new_settings_would_not_let_it_in(on: On) {
    let route = "path = \"/socket\"\nresource = \"socket\"\naccess = \"read\"\nwebsocket = true";
    let add = |settings: &mut Table| add_route(settings, route);
    let server = TestServer::start_as(&Plan { on, behind: Behind::Recorder, settings: &add });
    let home = server.tenant("synq", "Northwind");
    let viewer = server.token(&server.member(&home, "VIEWER")).text;
    let admin = server.token(&home.owner).text;
    let (mut of_viewer, mut of_admin) = (socket(&server.synq(), &viewer), socket(&server.synq(), &admin));
    // What changes nothing for either ends neither.
    reload(&server, |settings| {
        api(settings, "synq").insert("max_body_bytes".into(), 4711.into());
    })
    .unwrap();
    echoes(&mut of_viewer, "still here");
    echoes(&mut of_admin, "still here");
    reload(&server, |settings| {
        let roles = api(settings, "synq")["roles"].as_table_mut().unwrap();
        roles.insert("VIEWER".into(), "products:read".into());
    })
    .unwrap();
    let time = took(|| of_viewer.until_closed());
    assert!(time <= LIMIT, "the socket ended after {time:?}");
    echoes(&mut of_admin, "still here");
    // A key that begins otherwise than keys do from now on.
    let key = server.key(&server.tenant("synaptiq", "Southwind"), "read").text;
    let mut events = server.synaptiq().connect();
    events.send(server.synaptiq().get("/events").bearer(&key).bytes());
    events.until("data: tick");
    reload(&server, |settings| {
        api(settings, "synaptiq").insert("key_prefix".into(), "zz".into());
    })
    .unwrap();
    let time = took(|| events.until_closed());
    assert!(time <= LIMIT, "the stream ended after {time:?}");
    // What its route asks is asked anew, of whoever was let in and of what asked for nobody.
    let asks = |access: &'static str| {
        reload(&server, |settings| {
            for route in api(settings, "synq")["route"].as_array_mut().unwrap() {
                if route["path"].as_str() == Some("/socket") {
                    route.as_table_mut().unwrap().insert("access".into(), access.into());
                }
            }
        })
        .unwrap();
    };
    asks("none");
    let mut of_nobody = {
        let mut connection = server.synq().connect();
        let head = "GET /socket HTTP/1.1\r\nHost: synq.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        connection.send(head);
        assert!(connection.until("\r\n\r\n").starts_with("HTTP/1.1 101"));
        echoes(&mut connection, "hello");
        connection
    };
    let editor = server.token(&server.member(&home, "EDITOR")).text;
    let mut of_editor = socket(&server.synq(), &editor);
    asks("admin");
    for open in [&mut of_nobody, &mut of_editor] {
        let time = took(|| open.until_closed());
        assert!(time <= LIMIT, "the socket ended after {time:?}");
    }
    echoes(&mut of_admin, "still here");
    // Tokens for another audience are others' from now on.
    reload(&server, |settings| {
        api(settings, "synq").insert("token_audience".into(), "another".into());
    })
    .unwrap();
    let time = took(|| of_admin.until_closed());
    assert!(time <= LIMIT, "the socket ended after {time:?}");
    assert_eq!(
        server.synq().get("/api/v1/products").bearer(&admin).status(),
        401,
        "a token remembered as good"
    );
}

fn a_new_realm_is_there_when_its_api_is(on: On) {
    let server = TestServer::recording(on);
    let reloaded = reload(&server, |settings| {
        let mut new = api(settings, "synaptiq").clone();
        new.insert("name".into(), "novel".into());
        new.insert("realm".into(), "novel".into());
        new.insert("hosts".into(), vec!["novel.localhost"].into());
        new.insert("https".into(), "optional".into());
        settings["api"].as_array_mut().unwrap().push(new.into());
    });
    assert_eq!(reloaded.unwrap()["added"], json!(["novel"]));
    let key = server.key(&server.tenant("novel", "Northwind"), "read").text;
    let novel = server.client(0, "novel.localhost");
    assert_eq!(novel.get("/api/v1/leads").bearer(&key).status(), 200);
    // Another realm's key is nobody's there.
    let other = server.key(&server.tenant("synaptiq", "Southwind"), "read").text;
    assert_eq!(novel.get("/api/v1/leads").bearer(&other).status(), 401);
}
