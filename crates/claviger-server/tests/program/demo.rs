//! `claviger demo`.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Folder, Outcome, Running, connect, get, program, read_answer, run, run_with, until};

const VARIABLES: [&str; 38] = [
    "CLAVIGER_CONFIG",
    "CLAVIGER_CONSOLE",
    "CLAVIGER_OPERATOR_TOKEN",
    "CLAVIGER_OPS",
    "SYNAPTIQ2_ADMIN_KEY",
    "SYNAPTIQ_ADMIN_KEY",
    "SYNAPTIQ_EMAIL",
    "SYNAPTIQ_PASSWORD",
    "SYNAPTIQ_PLAIN_URL",
    "SYNAPTIQ_READ_KEY",
    "SYNAPTIQ_TEST_KEY",
    "SYNAPTIQ_TLS_URL",
    "SYNAPTIQ_URL",
    "SYNAPTIQ_WRITE_KEY",
    "SYNCELLO2_EMAIL",
    "SYNCELLO2_PASSWORD",
    "SYNCELLO2_TOKEN",
    "SYNCELLO2_URL",
    "SYNCELLO_EMAIL",
    "SYNCELLO_PASSWORD",
    "SYNCELLO_TOKEN",
    "SYNCELLO_URL",
    "SYNQ2_EMAIL",
    "SYNQ2_ORG_ID",
    "SYNQ2_PASSWORD",
    "SYNQ2_REFRESH_TOKEN",
    "SYNQ2_TENANT_ID",
    "SYNQ2_TOKEN",
    "SYNQ2_URL",
    "SYNQ_EMAIL",
    "SYNQ_ORG_ID",
    "SYNQ_PASSWORD",
    "SYNQ_REFRESH_TOKEN",
    "SYNQ_TENANT_ID",
    "SYNQ_TOKEN",
    "SYNQ_URL",
    "SYNQ_VIEWER_EMAIL",
    "SYNQ_VIEWER_PASSWORD",
];

/// The variables of an environment file, as `sh` reads them: the shell's own are left out.
fn variables(file: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(file).unwrap();
    let names = text.lines().map(|line| line.split_once('=').expect("a variable a line").0);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(names.fold(". \"$FILE\"".to_owned(), |script, name| {
        format!("{script}; printf '%s\\n' \"{name}=${name}\"")
    }));
    shell.env("FILE", file).env_clear().env("FILE", file);
    let outcome = run_with(shell, "");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    outcome
        .out
        .lines()
        .map(|line| line.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Starts the demonstration and reads its variables the moment their file is there.
pub(crate) fn start(folder: &Folder, more: &[&str], env_file: &str) -> (Running, BTreeMap<String, String>) {
    let file = folder.path(env_file);
    let _ = std::fs::remove_file(folder.path("demo.out"));
    let out = std::fs::File::create(folder.path("demo.out")).unwrap();
    let err = std::fs::File::create(folder.path("demo.err")).unwrap();
    let mut command = program(folder);
    command.args(["demo", "--port-base", "0"]).args(more).stdout(out).stderr(err);
    let mut demo = Running(command.spawn().unwrap());
    until("the demonstration says how to end it", || {
        assert!(!demo.has_ended(), "{}", folder.read("demo.err"));
        // Whenever the file is there, it is whole and its owner's alone.
        if let Ok(text) = std::fs::read_to_string(&file) {
            assert!(text.ends_with('\n') && text.contains("SYNQ_VIEWER_PASSWORD="), "half a file: {text}");
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        folder.read("demo.out").contains("Ctrl-C ends it").then_some(())
    });
    (demo, variables(&file))
}

fn end(demo: &mut Running, signal: Signal) {
    demo.signal(signal);
    assert_eq!(demo.wait().code(), Some(0));
}

fn address(url: &str) -> SocketAddr {
    url.split_once("://").unwrap().1.parse().unwrap()
}

#[test]
fn the_printed_lines_work_and_a_second_start_finds_everything_as_it_was() {
    let folder = Folder::new();
    // A directory whose name a shell would split.
    let (mut demo, first) = start(&folder, &["--data", "my demo's data"], "my demo's data/demo.env");
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    assert_eq!(names, VARIABLES);

    let printed = folder.read("demo.out");
    let lines: Vec<&str> = printed.lines().filter(|line| line.contains("curl ")).collect();
    assert_eq!(lines.len(), 3, "{printed}");
    for line in lines {
        let mut shell = Command::new("sh");
        // As in another terminal, which is somewhere else.
        shell.current_dir("/").args(["-c", line]);
        let answer = run_with(shell, "").json();
        assert!(!answer["data"].is_null(), "{line}: {answer}");
    }

    // Commands reach the running server from anywhere, and its data when it has ended.
    let list = ["--config", &first["CLAVIGER_CONFIG"], "--json", "tenant", "list", "--realm", "synq"];
    let elsewhere = Folder::new();
    let tenants = run(&elsewhere, &list).json();
    assert_eq!(tenants.as_array().unwrap().len(), 2);
    end(&mut demo, Signal::TERM);
    assert_eq!(run(&elsewhere, &list).json(), tenants);
    let mut issue = vec!["--config", &first["CLAVIGER_CONFIG"], "--json", "token", "issue", "--api", "synq"];
    issue.extend(["--tenant", &first["SYNQ_TENANT_ID"], "--org", &first["SYNQ_ORG_ID"]]);
    issue.extend(["--email", &first["SYNQ_EMAIL"]]);
    assert!(run(&elsewhere, &issue).json()["access_token"].is_string());

    let more = ["--data", "my demo's data", "--env-file", "other.env"];
    let (mut demo, second) = start(&folder, &more, "other.env");
    for name in VARIABLES
        .iter()
        .filter(|name| !name.ends_with("_URL") && !["CLAVIGER_OPS", "CLAVIGER_CONSOLE"].contains(name))
    {
        // Tokens of people are fresh; everything else is as it was, tokens under a user's secret included.
        let is_fresh =
            ["SYNQ_TOKEN", "SYNQ2_TOKEN", "SYNQ_REFRESH_TOKEN", "SYNQ2_REFRESH_TOKEN"].contains(name);
        assert_eq!(first[*name] != second[*name], is_fresh, "{name}");
    }
    let kept = get_as(&second, "SYNAPTIQ_URL", "/api/v1/leads", &first["SYNAPTIQ_READ_KEY"]);
    assert_eq!(kept, 200);
    assert_eq!(get_as(&second, "SYNQ_URL", "/api/v1/products", &second["SYNQ_TOKEN"]), 200);
    // The file in the data directory is the same.
    assert_eq!(variables(&folder.path("my demo's data/demo.env")), second);
    end(&mut demo, Signal::INT);
}

fn get_as(variables: &BTreeMap<String, String>, url: &str, path: &str, credential: &str) -> u16 {
    get(address(&variables[url]), path, Some(credential)).status
}

#[test]
fn a_request_under_way_is_finished_before_the_end() {
    let folder = Folder::new();
    let (mut demo, env) = start(&folder, &["--data", "data"], "data/demo.env");
    let address = address(&env["SYNCELLO_URL"]);
    let body = "{\"workspace_id\": 12345}";
    let mut stream = connect(address);
    let (token, length) = (&env["SYNCELLO_TOKEN"], body.len());
    write!(
        stream,
        "POST /v1/tools/tape/listApps HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
    )
    .unwrap();
    // The upstream has asked for the body: the request is under way.
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    assert_eq!(read_answer(&mut reader).status, 100);
    stream.write_all(&body.as_bytes()[..5]).unwrap();
    let asked = Instant::now();
    demo.signal(Signal::TERM);
    until("nobody listens any more", || TcpStream::connect(address).is_err().then_some(()));
    assert!(!demo.has_ended());
    stream.write_all(&body.as_bytes()[5..]).unwrap();
    let answer = read_answer(&mut reader);
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(answer["success"], true);
    assert_eq!(demo.wait().code(), Some(0));
    assert!(asked.elapsed().as_secs() < 20, "it took {:?}", asked.elapsed());
}

#[test]
fn a_second_one_on_the_same_data_or_ports_changes_nothing() {
    let folder = Folder::new();
    let (mut demo, env) = start(&folder, &["--data", "data"], "data/demo.env");
    let files = |folder: &Folder| {
        let names = ["demo.env", "demo.toml", "keyring.toml", "dev-key.pem", "dev-cert.pem"];
        names.map(|name| std::fs::read(folder.path("data").join(name)).unwrap())
    };
    let before = files(&folder);
    let (error, hint) = run(&folder, &["demo", "--port-base", "0", "--data", "data"]).error();
    assert!(error.contains("claviger.lock"), "{error}");
    assert!(hint.unwrap().contains("stop it first"));
    assert_eq!(files(&folder), before);

    let port = address(&env["SYNQ_URL"]).port().to_string();
    let (error, hint) = run(&folder, &["demo", "--port-base", &port, "--data", "other"]).error();
    assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
    assert!(hint.unwrap().contains("--port-base"));
    assert!(!folder.path("other").exists());

    // No real server takes this data, nor the certificate.
    let refused = |settings: &str| -> Outcome { run(&folder, &["--config", settings, "serve"]) };
    end(&mut demo, Signal::TERM);
    let before = folder.contents();
    let (error, _) = refused("data/demo.toml").error();
    assert!(error.contains("development certificate"), "{error}");
    assert_eq!(folder.contents(), before);
    folder.write(
        "real.toml",
        "[store]\nurl = \"sqlite:data/claviger.db\"\n[keyring]\nfile = \"data/keyring.toml\"\n\
         [ops]\naddress = \"127.0.0.1:0\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[api]]\nname = \"a\"\nrealm = \"a\"\nhosts = [\"a\"]\ncredentials = [\"api-key\"]\nupstream = \"http://127.0.0.1:1\"\n",
    );
    let before = folder.contents();
    let (error, hint) = refused("real.toml").error();
    assert!(error.contains("demonstration's data"), "{error}");
    assert!(hint.unwrap().contains("store.url"));
    assert_eq!(folder.contents(), before);
    let realms = run(&folder, &["--config", "data/demo.toml", "tenant", "list", "--realm", "a"]).error();
    assert_eq!(realms.1.unwrap(), "the realms are `demonstration`, `synaptiq`, `syncello`, `synq`");
}
