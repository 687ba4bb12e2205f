//! A month of an operator's tasks, as the page says, from another machine: a network namespace that reaches the console and
//! nothing else.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::readme::{follow_with, walk_of, workplace};

/// The namespace, gone with this; none where the platform has none to give.
struct Elsewhere(Option<String>);

fn is_done(program: &str, arguments: &str) -> bool {
    let words: Vec<&str> = arguments.split(' ').collect();
    let done = Command::new(program).args(words).stdout(Stdio::null()).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

impl Elsewhere {
    /// A namespace with one link to here, and the address that we have on it.
    fn make() -> (Self, String) {
        let process = std::process::id();
        let (name, net) = (format!("claviger-{process}"), process % 250 + 1);
        let (here, there) = (format!("cvh{process}"), format!("cvt{process}"));
        // Of the addresses that are for benchmarks, so nobody's (RFC 2544).
        let (ours, theirs) = (format!("198.18.{net}.1"), format!("198.18.{net}.2"));
        let made = is_done("ip", &format!("netns add {name}"));
        let elsewhere = Self(made.then(|| name.clone()));
        let linked = made
            && is_done("ip", &format!("link add {here} type veth peer name {there} netns {name}"))
            && is_done("ip", &format!("address add {ours}/30 dev {here}"))
            && is_done("ip", &format!("link set {here} up"))
            && is_done("ip", &format!("-n {name} address add {theirs}/30 dev {there}"))
            && is_done("ip", &format!("-n {name} link set {there} up"));
        if linked {
            return (elsewhere, ours);
        }
        drop(elsewhere);
        eprintln!(
            "SKIPPED: this platform gives nobody a network namespace; the tasks are done from this one instead"
        );
        (Self(None), "127.0.0.1".to_owned())
    }

    fn shell(&self) -> String {
        let bash = "bash --noprofile --norc";
        self.0.as_ref().map_or(bash.to_owned(), |name| format!("ip netns exec {name} {bash}"))
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        if let Some(name) = &self.0 {
            // The link goes with its end there.
            is_done("ip", &format!("netns delete {name}"));
        }
    }
}

/// The server, ended with the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const SETTINGS: &str = r#"
[[listener]]
address = "127.0.0.1:0"

[ops]
address = "127.0.0.1:0"

[console]
address = "CONSOLE:0"
tls = true

[[tls.certificate]]
certificate_file = "cert.pem"
key_file = "key.pem"

[[api]]
name = "orders"
realm = "shop"
hosts = ["orders.example"]
credentials = ["api-key", "identity-token"]
upstream = "http://127.0.0.1:1"
plans = ["Starter", "Pro"]

[api.roles]
ADMIN = "admin"
EDITOR = "write"
VIEWER = "read"

[[api.route]]
path = "/orders.json"
resource = "orders"

[[api.limit]]
name = "per-minute"

[api.limit.plans]
Starter = { read = 60, write = 30, admin = 30 }
Pro = { read = 600, write = 300, admin = 300 }

[[api.issuer]]
issuer = "https://id.acme.example"
audience = "orders"
jwks_file = "issuer.json"

[[api]]
name = "desk"
realm = "shop"
hosts = ["desk.example"]
credentials = ["user-token"]
upstream = "http://127.0.0.1:1"
plans = ["Starter", "Pro"]

[api.roles]
ADMIN = "admin"
EDITOR = "write"
VIEWER = "read"
"#;

/// An Ed25519 key that others know too (RFC 8037, appendix A).
const ISSUER_KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"id-1","alg":"EdDSA","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// Starts a server in this folder and gives where its console is.
fn serve(folder: &Path, address: &str) -> (Serving, String) {
    let pair = rcgen::generate_simple_self_signed(vec![address.to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), pair.cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
    fs::write(folder.join("issuer.json"), ISSUER_KEYS).unwrap();
    fs::write(folder.join("claviger.toml"), SETTINGS.replace("CONSOLE", address)).unwrap();
    let log = folder.join("log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.arg("serve").current_dir(folder).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    let mut serving = Serving(command.spawn().unwrap());
    let began = Instant::now();
    loop {
        let said = fs::read_to_string(&log).unwrap();
        let ready = said.lines().find(|line| line.contains("ready") && line.contains("console"));
        if let Some(place) = ready.and_then(|line| line.split(&format!("{address}:")).nth(1)) {
            let port: String = place.chars().take_while(char::is_ascii_digit).collect();
            return (serving, format!("https://{address}:{port}"));
        }
        assert!(serving.0.try_wait().unwrap().is_none(), "the server has ended: {said}");
        assert!(began.elapsed() < Duration::from_secs(60), "the server is not ready: {said}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_month_of_tasks_is_done_from_another_machine() {
    let place = workplace("month");
    let (home, desk) = (place.join("home"), place.join("desk"));
    fs::create_dir(&home).unwrap();
    fs::create_dir(&desk).unwrap();
    let (elsewhere, address) = Elsewhere::make();
    let (_serving, url) = serve(&home, &address);
    let mut first = Command::new(env!("CARGO_BIN_EXE_claviger"));
    first.args(["--json", "operator", "create", "--name", "ada", "--role", "owner"]).current_dir(&home);
    let made: serde_json::Value = serde_json::from_slice(&first.output().unwrap().stdout).unwrap();
    // All that there is on the desk: whom to believe, where to ask, and as whom.
    fs::copy(home.join("cert.pem"), desk.join("ca.pem")).unwrap();
    let program = place.join("target/release");
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let environment = [
        ("PATH", path.as_str()),
        ("CLAVIGER_CONSOLE", &url),
        ("CLAVIGER_OPERATOR_TOKEN", made["token"].as_str().unwrap()),
    ];
    follow_with(&desk, &walk_of("docs/operations/tasks.md", "month"), &[], &elsewhere.shell(), &environment);
}
