//! Nothing that is written down holds a credential.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use claviger_server::config::Config;
use claviger_server::on_every_store;
use claviger_server::testing::{Client, Log, On, Request, TestServer};
use regex::Regex;
use serde_json::json;

on_every_store!(q25_c10_no_credential_is_ever_written_down, c10_a_scanner_finds_our_tokens,);

/// The rule `jwt` of gitleaks.
const GITLEAKS_JWT: &str = r#"\b(ey[a-zA-Z0-9]{17,}\.ey[a-zA-Z0-9\/\\_-]{17,}\.(?:[a-zA-Z0-9\/\\_-]{10,}={0,2})?)(?:[\x60'"\s;]|\\[nr]|$)"#;

/// Everything of a credential that must not be seen: the whole, and each part that would do by itself.
fn needles(credential: &str) -> Vec<String> {
    let mut needles = vec![credential.to_owned()];
    let parts: Vec<&str> = credential.split('.').collect();
    match parts[..] {
        [_, payload, signature] => needles.extend([payload.to_owned(), signature.to_owned()]),
        _ => {
            let secret = credential.rsplit('_').next().unwrap();
            needles.push(secret.to_owned());
            needles.push(secret[..16].to_owned());
        }
    }
    needles
}

/// Asks the program to explain a request with this credential.
fn explained(server: &TestServer, credential: &str, client_host: &str, path: &str, json: bool) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.arg("--config").arg(server.config());
    command.args(["explain", "--host", client_host, "--path", path]).args(json.then_some("--json"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(credential.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("authenticate"), "{text}");
    text
}

fn q25_c10_no_credential_is_ever_written_down(on: On) {
    let mut server = TestServer::recording(on);
    let synq = server.tenant("synq", "Northwind");
    let synaptiq = server.tenant_on("synaptiq", "Eastwind", "Enterprise");
    let syncello = server.tenant("syncello", "Tradewinds");
    let token = server.token(&synq.owner).text;
    let viewer = server.token(&server.member(&synq, "VIEWER")).text;
    let key = server.key(&synaptiq, "read");
    let rotated = server.run(server.store(synaptiq.tenant).key_rotate(key.id, 3600)).unwrap();
    let newer = rotated.key.secret.expose_text().unwrap().to_owned();
    let user_token = server.user_token(&syncello.owner);
    let secret = server.user_secret(&syncello.owner);
    let bad_token = server.bent("synq", &server.token(&synq.owner), json!({ "exp": 1 }));
    let bad_key = format!("{}x", key.text);

    let mut said = String::new();
    let mut send = |request: Request| {
        let answer = request.send();
        said.push_str(&format!("{:?} {:?}\n{}\n", answer.status, answer.headers, answer.text()));
        answer.status
    };
    let other_tenant = syncello.tenant.to_string();
    let mut seen = Vec::new();
    for credential in [&token, &viewer, &key.text, &newer, &user_token, &bad_token, &bad_key] {
        let clients = [server.synq(), server.synq_strict(), server.synaptiq(), server.syncello()];
        let in_clear = server.client(0, "synaptiq.localhost");
        let with = |client: &Client, path: &str| client.get(path).bearer(credential);
        for client in clients.iter().chain([&in_clear]) {
            for path in ["/api/v1/products", "/api/v1/leads", "/v1/tools", "/broken", "/api/v1//x"] {
                seen.push(send(with(client, path)));
            }
            seen.push(send(client.request("DELETE", "/api/v1/leads/1").bearer(credential)));
            seen.push(send(client.request("PUT", "/api/v1/leads").bearer(credential)));
            seen.push(send(with(client, "/api/v1/leads").header("X-Tenant-ID", &other_tenant)));
            seen.push(send(with(client, "/api/v1/leads").bearer(credential)));
            seen.push(send(client.get("/api/v1/leads").header("Authorization", credential)));
            seen.push(send(client.get("/api/v1/leads").header("X-API-Key", credential)));
            seen.push(send(client.get(&format!("/api/v1/leads?api_key={credential}&tenant_id=7"))));
            seen.push(send(with(client, "/socket").header("Upgrade", "websocket")));
            seen.push(send(with(client, &format!("/api/v1/leads/{credential}"))));
            seen.push(send(client.get(&format!("/{credential}/leads"))));
        }
        seen.push(send(server.client(0, "elsewhere").get("/").bearer(credential)));
    }
    for status in [200, 400, 401, 403, 405, 421, 502] {
        assert!(seen.contains(&status), "the session had no {status}");
    }

    for (credential, host, path) in [
        (&token, "synq.localhost", "/api/v1/products"),
        (&bad_token, "synq.localhost", "/api/v1/products"),
        (&newer, "synaptiq.localhost", "/api/v1/leads"),
        (&user_token, "syncello.localhost", "/v1/tools"),
    ] {
        for json in [false, true] {
            said.push_str(&explained(&server, credential, host, path, json));
        }
    }
    said.push_str(&server.ops().get("/metrics").send().expect(200).text());
    said.push_str(&server.ops().get("/readyz").send().text());
    let (config, _) = Config::load(server.config()).unwrap();
    let app = server.app();
    said.push_str(&format!("{config:?} {app:?} {:?} {:?} {secret:?}", app.management(), app.memory()));
    let keyring = app.management().store.keyring();
    said.push_str(&format!("{keyring:?} {:#?} {rotated:?}", app.management().store));
    let binding = server.binding_key("synq");
    let access_log = server.stop_and_read_access_log();
    assert!(access_log.lines().count() > 100, "{access_log}");
    let log = Log::of_this_process().text();
    assert!(log.contains("ready"), "the log was kept");

    let secret_bytes = secret.secret.expose();
    let hex: String = secret_bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forbidden = vec![hex, STANDARD.encode(&binding), URL_SAFE_NO_PAD.encode(&binding)];
    forbidden.extend([STANDARD.encode(secret_bytes), URL_SAFE_NO_PAD.encode(secret_bytes)]);
    for credential in [&token, &viewer, &key.text, &newer, &user_token, &bad_token, &bad_key] {
        forbidden.extend(needles(credential));
    }
    for needle in &forbidden {
        assert!(needle.len() >= 16, "`{needle}` might be anywhere");
        for (place, text) in [("answers", &said), ("access log", &access_log), ("log", &log)] {
            if let Some(at) = text.find(needle.as_str()) {
                let line = text[..at].rfind('\n').map_or(0, |start| start + 1);
                panic!("a credential is in the {place}: {}", text[line..].lines().next().unwrap());
            }
        }
    }
}

fn c10_a_scanner_finds_our_tokens(on: On) {
    let server = TestServer::start(on);
    let home = server.tenant("syncello", "Tradewinds");
    let rule = Regex::new(GITLEAKS_JWT).unwrap();
    for _ in 0..20 {
        let token = server.user_token(&server.member(&home, "MEMBER"));
        for place in [format!("SYNCELLO_TOKEN={token}\n"), format!("const token = \"{token}\";"), token] {
            assert!(rule.is_match(&place), "{place}");
        }
    }
    // And there is none of them in what people read and copy from.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = Vec::new();
    let mut folders = vec![root.join("docs"), root.join("examples")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|ending| ending.to_str()) {
                // What is installed there is others'.
                _ if path.ends_with("node_modules") => {}
                _ if path.is_dir() => folders.push(path),
                Some("md" | "toml" | "html" | "js" | "py" | "sh") => pages.push(path),
                _ => {}
            }
        }
    }
    assert!(pages.len() >= 5, "{pages:?}");
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(!rule.is_match(&text), "{} holds a token", page.display());
    }
    let systems = std::fs::read_to_string(root.join("docs/systems.md")).unwrap();
    let blocks: Vec<&str> = systems.split("```").filter(|block| block.contains("$SYNCELLO_URL")).collect();
    assert!(blocks.iter().any(|block| block.contains("Bearer $SYNCELLO_TOKEN")), "{blocks:?}");
}
