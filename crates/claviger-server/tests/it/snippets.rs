//! The code that the documents of the three systems show, run as it stands.
//!
//! The tests need `bash`, `curl`, `node` (18 or newer) and `python3` with the package `requests`.

use std::process::Command;

use claviger_server::on_every_store;
use claviger_server::testing::{Behind, On, Plan, TestServer};
use toml::{Table, Value};

on_every_store!(
    q26_the_three_snippets_run_unchanged,
    q26_to_the_letter_over_tls,
    a18_the_three_curl_blocks_run_unchanged,
    c03_to_the_letter_over_tls,
);

const SYNQ_CURL: &str = r#"curl https://api.synq.io/api/v1/products \
  -H "Authorization: Bearer <your-token>""#;
const SYNQ_JAVASCRIPT: &str = r#"const response = await fetch("https://api.synq.io/api/v1/products", {
  method: "GET",
  headers: {
    Authorization: `Bearer ${token}`,
  },
});"#;
const SYNQ_PYTHON: &str = r#"import requests

headers = {
    "Authorization": f"Bearer {token}",
}

response = requests.get("https://api.synq.io/api/v1/products", headers=headers)"#;
const SYNAPTIQ_FIRST: &str = r#"curl https://synaptiqintel.com/api/v1/leads \
-H "Authorization: Bearer sk_live_abc123def456ghi789jkl012mno345""#;
const SYNAPTIQ_STATUS: &str = r#"curl https://synaptiqintel.com/api/v1/leads \
-H "Authorization: Bearer sk_live_NEW_KEY_HERE" \
-w "\nHTTP Status: %{http_code}\n""#;
const SYNAPTIQ_VARIABLE: &str = r#"export SYNAPTIQ_API_KEY="sk_live_abc123def456ghi789jkl012mno345"
curl https://synaptiqintel.com/api/v1/leads \
-H "Authorization: Bearer $SYNAPTIQ_API_KEY""#;
const SYNCELLO_CURL: &str = r#"curl -X POST https://api.syncello.io/v1/tools/tape/listApps \
  -H "Authorization: Bearer eyJhbGciOiJIUzI1NiIs..." \
  -H "Content-Type: application/json" \
  -d '{"workspace_id": 12345}'"#;

/// A server with a listener for each of the three APIs, as the demonstration has them.
fn started(on: On) -> TestServer {
    let add = |settings: &mut Table| {
        let listeners = settings.get_mut("listener").and_then(Value::as_array_mut).unwrap();
        for api in ["synq", "synaptiq"] {
            let text = format!(
                "address = \"127.0.0.1:0\"\napi = \"{api}\"\nplain_http = \"yes_for_development_only\""
            );
            listeners.push(text.parse::<Table>().unwrap().into());
        }
    };
    TestServer::start_as(&Plan { on, behind: Behind::Example, settings: &add })
}

fn url(server: &TestServer, listener: usize) -> String {
    format!("http://{}", server.app().addresses()[listener])
}

/// What the program printed. No proxy of the machine's is asked.
#[track_caller]
fn output(program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).envs(variables.iter().copied()).env("NO_PROXY", "*").env("no_proxy", "*");
    let output = command.output().unwrap_or_else(|error| panic!("`{program}` is needed: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}\n{}", text(&output.stderr));
    text(&output.stdout)
}

fn bash(script: &str) -> String {
    output("bash", &["-c", script], &[])
}

fn q26_the_three_snippets_run_unchanged(on: On) {
    let server = started(on);
    let home = server.tenant("synq", "Northwind");
    let token = server.token(&home.owner).text;
    let own = home.tenant.to_string();
    let base = |snippet: &str| snippet.replace("https://api.synq.io", &url(&server, 3));

    let curl = bash(&base(SYNQ_CURL).replace("<your-token>", &token));
    assert!(curl.contains(&own), "{curl}");

    let variables = [("SYNQ_TOKEN", token.as_str())];
    let javascript = format!(
        "const token = process.env.SYNQ_TOKEN;\n{}\nconsole.log(response.status, await response.text());",
        base(SYNQ_JAVASCRIPT)
    );
    let said = output("node", &["--input-type=module", "-e", &javascript], &variables);
    assert!(said.starts_with("200 ") && said.contains(&own), "{said}");

    let python = format!(
        "import os\ntoken = os.environ[\"SYNQ_TOKEN\"]\n{}\nprint(response.status_code, response.text)",
        base(SYNQ_PYTHON)
    );
    let said = output("python3", &["-c", &python], &variables);
    assert!(said.starts_with("200 ") && said.contains(&own), "{said}");
}

/// A document's curl command, sent to the TLS listener in place of the host it names.
fn to_the_letter(server: &TestServer, snippet: &str) -> String {
    let there = format!("curl -sk --connect-to ::{} ", server.app().addresses()[2]);
    snippet.replacen("curl ", &there, 1)
}

fn q26_to_the_letter_over_tls(on: On) {
    let server = started(on);
    let home = server.tenant("synq", "Northwind");
    let token = server.token(&home.owner).text;
    let said = bash(&to_the_letter(&server, SYNQ_CURL).replace("<your-token>", &token));
    assert!(said.contains(&home.tenant.to_string()), "{said}");
}

fn a18_the_three_curl_blocks_run_unchanged(on: On) {
    let server = started(on);
    let home = server.tenant_on("synaptiq", "Eastwind", "Enterprise");
    let key = server.key(&home, "read").text;
    let own = format!("tenant:{}", home.tenant);
    let with_key = |snippet: &str| {
        let snippet = snippet.replace("sk_live_abc123def456ghi789jkl012mno345", &key);
        snippet.replace("sk_live_NEW_KEY_HERE", &key)
    };
    for snippet in [SYNAPTIQ_FIRST, SYNAPTIQ_STATUS, SYNAPTIQ_VARIABLE] {
        let said = bash(&with_key(&snippet.replace("https://synaptiqintel.com", &url(&server, 4))));
        assert!(said.contains(&own), "{said}");
        assert_eq!(said.ends_with("\nHTTP Status: 200\n"), snippet == SYNAPTIQ_STATUS, "{said}");
        let said = bash(&with_key(&to_the_letter(&server, snippet)));
        assert!(said.contains(&own), "{said}");
    }
}

fn c03_to_the_letter_over_tls(on: On) {
    let server = started(on);
    let home = server.tenant("syncello", "Tradewinds");
    let token = server.user_token(&home.owner);
    let said = bash(&to_the_letter(&server, SYNCELLO_CURL).replace("eyJhbGciOiJIUzI1NiIs...", &token));
    let answer: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(answer["success"], true);
}
