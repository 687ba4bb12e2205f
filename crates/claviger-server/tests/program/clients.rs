//! The clients in `clients/`, and other people's libraries, with the demonstration.
//!
//! `make test` installs what they need (`scripts/need.sh`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::demo::start;
use crate::support::{Folder, Outcome, Running, run_with};

fn checkout(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    assert!(path.exists(), "`{}` is not there; run `make test`, which installs it", path.display());
    path
}

/// Python with the libraries of that folder. Not the link's end, which would not find them.
fn python(libraries: &str) -> Command {
    checkout(&format!("target/clients/{libraries}/.installed"));
    let mut command = Command::new(checkout(&format!("target/clients/{libraries}/bin/python")));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn node(package: &str, script: &str) -> Command {
    checkout(&format!("clients/{package}/node_modules/.installed"));
    let mut command = Command::new("node");
    command.arg(checkout(&format!("clients/{package}/{script}")));
    command
}

#[track_caller]
fn succeeds(command: Command) -> Outcome {
    let outcome = run_with(command, "");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    outcome
}

/// Builds the TypeScript client, once for all tests of this process.
fn build_typescript() {
    static BUILT: std::sync::Once = std::sync::Once::new();
    BUILT.call_once(|| {
        checkout("clients/typescript/node_modules/.installed");
        let mut build = Command::new("npm");
        build.args(["--silent", "run", "build", "--prefix"]).arg(checkout("clients/typescript"));
        succeeds(build);
    });
}

#[test]
fn the_typescript_client_passes_its_own_tests() {
    build_typescript();
    let mut tests = Command::new("node");
    tests.current_dir(checkout("clients/typescript"));
    tests.args(["--test", "--test-reporter=tap", "test/client.test.mjs", "test/readme.test.mjs"]);
    let said = succeeds(tests).out;
    let passed = said.lines().find_map(|line| line.strip_prefix("# pass ")).expect("a count");
    assert!(passed.parse::<u32>().unwrap() > 40 && said.contains("# skipped 0"), "{said}");
}

#[test]
fn the_python_client_passes_its_own_tests_and_its_types_are_right() {
    let mut tests = python("python");
    tests.current_dir(checkout("clients/python")).args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]);
    let said = succeeds(tests).out;
    assert!(said.contains(" passed") && !said.contains("skipped"), "{said}");
    let mut types = python("python");
    types.current_dir(checkout("clients/python")).args(["-m", "mypy", "--cache-dir=/dev/null"]);
    succeeds(types);
}

/// The demonstration, and its variables of Synq.
fn synq(folder: &Folder) -> (Running, BTreeMap<String, String>) {
    let (demo, mut env) = start(folder, &["--data", "data"], "data/demo.env");
    env.retain(|name, _| {
        [
            "SYNQ_URL",
            "SYNQ_EMAIL",
            "SYNQ_PASSWORD",
            "SYNQ_REFRESH_TOKEN",
            "SYNQ_TOKEN",
            "CLAVIGER_OPERATOR_TOKEN",
        ]
        .contains(&name.as_str())
    });
    (demo, env)
}

#[test]
fn q12_the_clients_go_on_when_their_token_is_revoked_in_the_middle_of_a_run() {
    build_typescript();
    let folder = Folder::new();
    let (_demo, env) = synq(&folder);
    let mut python_run = python("python");
    python_run.arg(checkout("clients/python/tests/revoked.py"));
    python_run.env("PYTHONPATH", checkout("clients/python/src"));
    for mut run in [node("typescript", "test/revoked.mjs"), python_run] {
        for name in ["SYNQ_URL", "SYNQ_EMAIL", "SYNQ_PASSWORD"] {
            run.env(name, &env[name]);
        }
        succeeds(run);
    }
    // Without a password it does not even begin, and does not pass for having run.
    let mut without = node("typescript", "test/revoked.mjs");
    without.env("SYNQ_URL", &env["SYNQ_URL"]).env_remove("SYNQ_PASSWORD");
    assert_ne!(run_with(without, "").code, Some(0));
}

#[test]
fn q01_tokens_verify_with_libraries_of_others_through_the_published_keys() {
    let folder = Folder::new();
    let (_demo, env) = synq(&folder);
    let token = &env["SYNQ_TOKEN"];
    // One of the signature's characters is another one; its last has bits that count for nothing.
    let mut bent = token.clone();
    let at = bent.len() - 10;
    let other = if bent.as_bytes()[at] == b'A' { "B" } else { "A" };
    bent.replace_range(at..=at, other);
    for library in ["PyJWT", "jose"] {
        let verify = |token: &str| {
            let mut command = match library {
                "PyJWT" => {
                    let mut command = python("interop");
                    command.arg(checkout("clients/interop/verify.py"));
                    command
                }
                _ => node("interop", "verify.mjs"),
            };
            command.env("ISSUER", "https://api.synq.io").env("AUDIENCE", "synq").env("TOKEN", token);
            command.env("JWKS_URL", format!("{}/.well-known/jwks.json", env["SYNQ_URL"]));
            run_with(command, "")
        };
        let good = verify(token);
        assert_eq!(good.code, Some(0), "{library}: {good:?}");
        let claims: Value = serde_json::from_str(&good.out).unwrap();
        assert!(claims["tenant_id"].is_string() && claims["role"] == "ADMIN", "{library}: {claims}");
        assert_eq!(verify(&bent).code, Some(1), "{library}");
    }
}

#[test]
fn q11_an_oauth_client_of_others_finds_refreshes_introspects_and_revokes() {
    let folder = Folder::new();
    let (_demo, env) = synq(&folder);
    let mut oauth = node("interop", "oauth.mjs");
    oauth.env("ISSUER", "https://api.synq.io").env("CONNECT_TO", &env["SYNQ_URL"]);
    // As its libraries send it, though nobody asks for it here (RFC 6749, section 3.2).
    oauth.env("CLIENT_ID", "synq").env("REFRESH_TOKEN", &env["SYNQ_REFRESH_TOKEN"]);
    oauth.env("INTROSPECTION_TOKEN", &env["CLAVIGER_OPERATOR_TOKEN"]);
    let said = succeeds(oauth).out;
    for step in ["discovered", "refreshed", "introspected", "revoked", "refused"] {
        assert!(said.contains(step), "{step}: {said}");
    }
}
