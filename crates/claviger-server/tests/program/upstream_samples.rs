//! The sample APIs in `examples/fastapi` and `examples/express` behind the program.
//!
//! `make test` installs what they need (`scripts/need.sh`).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::guide::settings;
use crate::support::{Answer, Folder, Running, customer, run, serve, until};
use crate::tap::{Sent, Tap};

/// A sample, and the language it is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sample {
    FastApi,
    Express,
}

fn checkout(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    assert!(path.exists(), "`{}` is not there; run `make test`, which installs it", path.display());
    path.canonicalize().unwrap()
}

/// A sample that runs.
#[derive(Debug)]
pub(crate) struct Api {
    _process: Running,
    pub(crate) address: SocketAddr,
}

impl Sample {
    fn command(self) -> Command {
        match self {
            Self::FastApi => {
                // A link to the interpreter, which would not find the libraries from where it leads to.
                checkout("target/samples/fastapi/.installed");
                let python = checkout("target/samples/fastapi").join("bin/python");
                let mut command = Command::new(python);
                command.arg(checkout("examples/fastapi/app.py")).env("PYTHONDONTWRITEBYTECODE", "1");
                command
            }
            Self::Express => {
                checkout("examples/express/node_modules/.installed");
                let mut command = Command::new("node");
                command.arg(checkout("examples/express/app.js"));
                command
            }
        }
    }

    /// Starts it with the binding keys in `files` (`audience=file`), in `folder`.
    pub(crate) fn start(self, folder: &Folder, files: &str, keys: SocketAddr) -> Api {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let log = format!("{self:?}-{}.log", NEXT.fetch_add(1, Ordering::Relaxed));
        let file = || std::fs::File::options().create(true).append(true).open(folder.path(&log)).unwrap();
        let mut command = self.command();
        command.current_dir(folder.path("")).env("HOST", "127.0.0.1").env("PORT", "0");
        command.env("CLAVIGER_BINDING_KEYS", files);
        command.env("CLAVIGER_JWKS_URL", format!("http://{keys}/.well-known/jwks.json"));
        let child = command.stdout(file()).stderr(file()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{self:?} needs what `make test` installs: {error}"));
        let mut process = Running(child);
        let address = until("the sample says where it is", || {
            let said = folder.read(&log);
            assert!(!process.has_ended(), "{self:?} ended: {said}");
            let (_, rest) = said.split_once("http://127.0.0.1:")?;
            let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
            (port.len() < rest.len()).then(|| SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap())))
        });
        Api { _process: process, address }
    }
}

#[track_caller]
pub(crate) fn assert_refused(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 401, "{what}: {answer:?}");
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    let title = "This server only answers requests that come through Claviger";
    assert_eq!(problem, json!({"type": "about:blank", "title": title, "status": 401}), "{what}");
    assert!(answer.head.to_lowercase().contains("content-type: application/problem+json\r\n"), "{answer:?}");
}

#[track_caller]
pub(crate) fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.head.to_lowercase().contains("retry-after: 1\r\n"), "{answer:?}");
    assert!(answer.body.contains("\"status\""), "{answer:?}");
}

/// The references of the orders in an answer.
#[track_caller]
fn references(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    let orders = body["data"].as_array().unwrap().iter();
    orders.map(|order| order["reference"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn fastapi_behind_the_program_answers_what_it_let_in_and_nothing_else() {
    behind_the_program(Sample::FastApi);
}

#[test]
fn express_behind_the_program_answers_what_it_let_in_and_nothing_else() {
    behind_the_program(Sample::Express);
}

fn behind_the_program(sample: Sample) {
    let (folder, tap) = (Folder::new(), Tap::start());
    folder.write("claviger.toml", &settings(tap.address));
    let (acme, rival) = (customer(&folder, "claviger.toml"), customer(&folder, "claviger.toml"));
    let command = |words: &[&str]| run(&folder, &[&["--json"], words].concat()).json();
    let of = ["--tenant", &acme.tenant, "--org", &acme.org];
    let key = |more: &[&str]| {
        let made = command(&[&["key", "create", "--scope", "admin", "--name", "k"], more, &of].concat());
        made["key"].as_str().unwrap().to_owned()
    };
    let (sandbox, unused) = (key(&["--environment", "test"]), key(&[]));
    let issue = [&["token", "issue", "--api", "orders", "--email", "owner@acme.example"], &of[..]].concat();
    let person = command(&issue)["access_token"].as_str().unwrap().to_owned();
    command(&["keyring", "upstream-key", "--api", "orders", "--to", "orders.key"]);
    let mut server = serve(&folder, "claviger.toml");
    let keys = server.console.unwrap();
    let api = sample.start(&folder, "orders=orders.key", keys);
    tap.lead_to(api.address);

    let claviger = server.address();
    let host = format!("localhost:{}", claviger.port());
    let by = |credential: &str, method: &str, target: &str| {
        Sent::new(method, target).and("Host", &host).and("Authorization", &format!("Bearer {credential}"))
    };
    let order = |credential: &str, reference: &str| {
        let body = json!({"reference": reference, "total": 12.5}).to_string();
        assert_eq!(by(credential, "POST", "/orders").saying(&body).to(claviger).status, 201);
    };
    let list = |credential: &str, query: &str| {
        references(&by(credential, "GET", &format!("/orders{query}")).to(claviger))
    };

    // Each has its own, whatever a client says of itself.
    order(&acme.key, "caf\u{e9}");
    order(&acme.key, "a/b c");
    order(&rival.key, "rival's");
    assert_eq!(list(&acme.key, ""), ["caf\u{e9}", "a/b c"]);
    assert_eq!(list(&rival.key, ""), ["rival's"]);
    assert_eq!(list(&sandbox, ""), [""; 0]);
    assert_eq!(list(&person, ""), ["caf\u{e9}", "a/b c"]);
    let forged = by(&acme.key, "GET", "/orders").and("X_Tenant_ID", &rival.tenant).to(claviger);
    assert_eq!(references(&forged), ["caf\u{e9}", "a/b c"]);

    // What was read is what was sent, encoded and with a port.
    assert_eq!(list(&acme.key, "?q=a%2Fb%20c"), ["a/b c"]);
    assert_eq!(list(&acme.key, "?q=caf%C3%A9"), ["caf\u{e9}"]);
    assert_eq!(list(&acme.key, "?").len(), 2);
    let one = by(&acme.key, "GET", "/orders/caf%C3%A9").to(claviger);
    assert_eq!((one.status, one.body.contains("caf\u{e9}")), (200, true), "{one:?}");
    assert_eq!(by(&rival.key, "GET", "/orders/caf%C3%A9").to(claviger).status, 404);

    // The program has no key for nobody, and its token for another audience is another's.
    assert_eq!(Sent::new("GET", "/status").and("Host", &host).to(claviger).body, "{\"status\":\"ok\"}");
    assert_refused(
        &by(&acme.key, "GET", "/orders").with("Host", "returns.localhost").to(claviger),
        "audience",
    );

    // Past the program: as it was sent, and not otherwise.
    assert_refused(&Sent::new("GET", "/orders").and("Host", &host).to(api.address), "a stranger");
    assert_refused(&Sent::new("GET", "/status").and("Host", &host).to(api.address), "a stranger");
    // With a token that was made just now, and is good for all that follows.
    list(&unused, "");
    let caught = tap.last();
    assert_eq!(references(&caught.to(api.address)).len(), 2, "once more within 30 s");
    assert_refused(&caught.clone().at("/orders?q=x").to(api.address), "another query");
    assert_refused(&caught.clone().at("/orders/caf%C3%A9").to(api.address), "another path");
    assert_refused(&caught.clone().by("POST").to(api.address), "another method");
    assert_refused(&caught.clone().with("host", "localhost").to(api.address), "another host");
    let forged = caught.clone().with("x-tenant-id", &rival.tenant).with("x-org-id", &rival.org);
    assert_eq!(references(&forged.to(api.address)).len(), 2, "headers select nothing");

    // Without the program, known keys stay known, and whoever starts anew cannot say.
    server.process.signal(rustix::process::Signal::TERM);
    server.process.wait();
    assert_eq!(references(&caught.to(api.address)).len(), 2);
    let fresh = sample.start(&folder, "orders=orders.key", keys);
    assert_unavailable(&caught.to(fresh.address));
    assert_refused(&caught.without("x-claviger-principal").to(fresh.address), "no token");
}
