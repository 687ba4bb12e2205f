//! Commands that name things as people do, change them, and are given twice: without a server, through its socket, and from afar.

use serde_json::Value;

use crate::support::{Folder, Outcome, customer, orders, program, run, run_with, serve};

/// Runs `claviger` with `input` on its standard input.
fn told(folder: &Folder, way: &[&str], arguments: &[&str], input: &str) -> Outcome {
    let mut command = program(folder);
    command.args(way).args(arguments);
    run_with(command, input)
}

/// Everything once, in this way.
fn all(folder: &Folder, way: &[&str], key_id: &str, key: &str, round: &str) {
    let done = |arguments: &[&str]| {
        let mut words = vec!["--json"];
        words.extend(arguments);
        told(folder, way, &words, "").json()
    };
    let called = format!("office-{round}");
    let named = done(&["key", "update", "--tenant", "Acme", key_id, "--name", &called]);
    assert_eq!(named["name"], called.as_str());
    assert!(named["revision"].is_string(), "{named}");
    let version = named["version"].as_str().unwrap();
    let narrowed =
        ["key", "update", "--tenant", "Acme", &called, "--networks", "203.0.113.0/24,198.51.100.7"];
    let mut since = narrowed.to_vec();
    since.extend(["--if-version", version]);
    let narrowed = done(&since);
    assert_eq!(narrowed["networks"], serde_json::json!(["203.0.113.0/24", "198.51.100.7/32"]));
    let (error, hint) = told(folder, way, &since, "").error();
    assert!(
        error.contains("it was edited meanwhile") && hint.unwrap().contains("look at it again"),
        "{error}"
    );
    // What is not named stays, and what is taken away goes.
    let freed = done(&["key", "update", "--tenant", "Acme", &called, "--no-networks", "--scope", "write"]);
    assert_eq!((&freed["networks"], &freed["name"]), (&Value::Null, &called.as_str().into()));
    let bare = told(folder, way, &["key", "update", "--tenant", "Acme", &called], "");
    assert_eq!(bare.code, Some(2), "{bare:?}");
    // By itself, or by its end: no word of it comes back.
    let found = told(folder, way, &["--json", "key", "find"], &format!("{key}\n"));
    assert!(!found.out.contains(key), "{found:?}");
    assert_eq!(found.json()[0]["key_id"], key_id);
    let by_end = done(&["key", "find", "--last-four", &key[key.len() - 4..]]);
    assert_eq!(by_end[0]["name"], called.as_str());
    // Asked for twice, done once.
    let once = ["--idempotency-key", round, "org", "create", "--tenant", "Acme", "--name", round];
    assert_eq!(done(&once)["org_id"], done(&once)["org_id"]);
    let orgs = done(&["org", "list", "--tenant", "Acme", "--name", round]);
    assert_eq!(orgs.as_array().unwrap().len(), 1, "{orgs}");
    let other = ["--idempotency-key", round, "org", "create", "--tenant", "Acme", "--name", "another"];
    assert!(told(folder, way, &other, "").error().0.contains("something else was asked for"));
    let keys = done(&["key", "list", "--tenant", "Acme", "--name", &called]);
    assert_eq!(keys[0]["org_id"].as_str().map(str::len), Some(36), "{keys}");
    let links =
        done(&["member", "links", "--tenant", "Acme", "--org", "Acme", "--email", "owner@acme.example"]);
    assert_eq!(links, serde_json::json!([]));
    assert_eq!(done(&["account", "view", "--account", "owner@acme.example"])["email"], "owner@acme.example");
    assert_eq!(done(&["limit", "list"]), serde_json::json!([]));
    assert_eq!(done(&["issuer", "list", "--api", "orders"]), serde_json::json!([]));
}

#[test]
fn operating_08_things_are_named_found_and_changed_in_every_way_of_asking() {
    let folder = Folder::new();
    let more = "[console]\naddress = \"127.0.0.1:0\"\n";
    folder.write("claviger.toml", &orders("127.0.0.1:1", more));
    let known = customer(&folder, "claviger.toml");
    all(&folder, &[], &known.key_id, &known.key, "alone");
    let made = run(&folder, &["--json", "operator", "create", "--name", "ada", "--role", "owner"]).json();
    folder.write("token", made["token"].as_str().unwrap());
    let server = serve(&folder, "claviger.toml");
    all(&folder, &[], &known.key_id, &known.key, "socket");
    let url = format!("http://{}", server.console.unwrap());
    all(&folder, &["--server", &url, "--token-file", "token"], &known.key_id, &known.key, "afar");
}
