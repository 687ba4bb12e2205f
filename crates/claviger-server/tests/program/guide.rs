//! The tables of `docs/guides/upstream.md` say what the program does.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::protected::removed_for_every_api;
use claviger_server::wire::hop::HOP_BY_HOP;
use serde_json::Value;

use crate::support::{Customer, Folder, Server, customer, run, serve};
use crate::tap::{Sent, Tap};

/// The settings of two APIs behind one upstream: `orders`, with a route that is open to everybody, and `returns`, which has
/// an audience of its own.
pub(crate) fn settings(upstream: impl std::fmt::Display) -> String {
    format!(
        r#"
[ops]
address = "127.0.0.1:0"
[console]
address = "127.0.0.1:0"
[[listener]]
address = "127.0.0.1:0"
[[api]]
name = "orders"
realm = "orders"
hosts = ["localhost"]
credentials = ["api-key", "identity-token"]
upstream = "http://{upstream}"
[api.roles]
ADMIN = "admin"
[[api.route]]
path = "/orders"
resource = "orders"
methods = ["GET", "POST"]
[[api.route]]
path = "/orders/{{reference}}"
resource = "orders"
[[api.route]]
path = "/status"
resource = "status"
access = "none"
[[api]]
like = "orders"
name = "returns"
hosts = ["returns.localhost"]
token_audience = "returns"
"#
    )
}

/// The rows of the table behind a marker, cell by cell.
fn table(marker: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/upstream.md");
    let guide = std::fs::read_to_string(path).unwrap();
    let (_, rest) = guide.split_once(&format!("<!-- {marker} -->")).expect(marker);
    let (table, _) = rest.split_once("<!-- end -->").expect("the end of the table");
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.map(cells).collect()
}

/// What stands between backticks in the first column.
fn names(table: &[Vec<String>]) -> BTreeSet<String> {
    table.iter().flat_map(|row| row[0].split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// Names of connections, which this test cannot send as it likes.
fn is_of_the_connection(name: &str) -> bool {
    name == "expect" || HOP_BY_HOP.iter().any(|hop| *hop == name)
}

struct Place {
    folder: Folder,
    tap: Tap,
    server: Server,
    known: Customer,
}

impl Place {
    fn start() -> Self {
        let (folder, tap) = (Folder::new(), Tap::start());
        folder.write("claviger.toml", &settings(tap.address));
        let known = customer(&folder, "claviger.toml");
        let server = serve(&folder, "claviger.toml");
        Self { folder, tap, server, known }
    }

    /// What a request has become on its way.
    fn arrived(&self, sent: &Sent) -> Sent {
        let answer = sent.to(self.server.address());
        assert_eq!(answer.status, 200, "{answer:?}");
        self.tap.last()
    }

    fn with(&self, credential: &str) -> Sent {
        Sent::new("GET", "/orders")
            .and("Host", "localhost:8000")
            .and("Authorization", &format!("Bearer {credential}"))
    }
}

fn claims(arrived: &Sent) -> Value {
    let claims = arrived.header("x-claviger-principal").split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

#[test]
fn the_guide_lists_the_claims_of_the_token_and_says_where_each_is_absent() {
    let place = Place::start();
    let Customer { tenant, org, key, .. } = &place.known;
    let issue = ["--json", "token", "issue", "--api", "orders", "--tenant", tenant, "--org", org, "--email"];
    let issued = run(&place.folder, &[&issue[..], &["owner@acme.example"]].concat()).json();
    let person = issued["access_token"].as_str().unwrap();
    let open = Sent::new("GET", "/status").and("Host", "localhost:8000");

    let tokens = [place.with(key), place.with(person), open].map(|sent| claims(&place.arrived(&sent)));

    let kinds = tokens.each_ref().map(|token| token["kind"].as_str().unwrap());
    assert_eq!(kinds, ["api-key", "identity-token", "public"]);
    let table = table("claims of the principal token");
    for (column, token) in tokens.iter().enumerate() {
        let said = table.iter().filter(|row| row[2 + column] != "absent").map(|row| row[0].replace('`', ""));
        let there = token.as_object().unwrap().keys().cloned();
        assert_eq!(said.collect::<BTreeSet<_>>(), there.collect(), "of `{}`", kinds[column]);
    }
}

#[test]
fn the_guide_lists_the_headers_that_arrive() {
    let place = Place::start();
    let arrived = place.arrived(&place.with(&place.known.key));
    assert_eq!(arrived.header("host"), "localhost:8000");
    let names_of = |sent: &Sent| sent.headers.iter().map(|(name, _)| name.clone()).collect::<BTreeSet<_>>();
    let written = names(&table("headers that Claviger writes"));
    assert_eq!(&names_of(&arrived) - &BTreeSet::from(["host".to_owned()]), written);

    // Of nobody there are no ids.
    let open = place.arrived(&Sent::new("GET", "/status").and("Host", "localhost:8000"));
    let absent = &names_of(&arrived) - &names_of(&open);
    let said = table("headers that Claviger writes").into_iter().filter(|row| row[1].contains("absent"));
    assert_eq!(absent, names(&said.collect::<Vec<_>>()));
}

#[test]
fn the_guide_lists_the_headers_that_never_arrive() {
    let listed = names(&table("headers that Claviger removes"));
    let of_connections = HOP_BY_HOP.iter().map(ToString::to_string).chain(["expect".to_owned()]);
    assert_eq!(listed, removed_for_every_api().chain(of_connections).collect());

    let place = Place::start();
    let mut sent = place.with(&place.known.key);
    let identity = ["x-tenant-id", "x-org-id"].map(str::to_owned);
    let forged = |name: &String| !is_of_the_connection(name) && name != "authorization";
    for name in listed.iter().chain(&identity).filter(|name| forged(name)) {
        let name = name.replace('*', "anything");
        // A method override has to wish for the method that the request has.
        let value = if name.contains("method") { "GET" } else { "forged" };
        sent = sent.and(&name.replace('-', "_"), value);
        if !identity.contains(&name) {
            sent = sent.and(&name, value);
        }
    }
    // In clear, and not one of ours: the check would see what arrives.
    let arrived = place.arrived(&sent.and("x-forwarder", "forged"));

    let forged = arrived.headers.iter().filter(|(name, value)| value == "forged" || name.contains("method"));
    assert_eq!(forged.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["x-forwarder"]);
    assert_eq!(arrived.all("authorization"), [""; 0]);
}
