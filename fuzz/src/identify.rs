//! whatever stands in the headers, exactly one good credential lets in, and it alone.

use std::sync::{Arc, LazyLock};

use crate::spelt;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bolero::check;
use claviger::Api;
use claviger::api::{ApiSettings, Carriers};
use claviger::testing::{TestDoor, TestRequest, api, synaptiq};
use http::{HeaderName, HeaderValue};

struct World {
    test: TestDoor,
    api: Arc<Api>,
    key: String,
    other: String,
    basic: String,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let test = TestDoor::new();
    let carriers =
        Carriers { header: Some(HeaderName::from_static("x-api-key")), basic: true, websocket: true };
    let api = api(ApiSettings { carriers, limits: Vec::new(), ..synaptiq() });
    let home = test.tenant(&api);
    let (key, other) = (test.key(&home, "read").text, test.key(&home, "read").text);
    let basic = STANDARD.encode(format!("{key}:"));
    World { test, api, key, other, basic }
});

const NAMES: [&str; 8] = [
    "authorization",
    "x-api-key",
    "sec-websocket-protocol",
    "upgrade",
    "x_api_key",
    "proxy-authorization",
    "cookie",
    "accept",
];

/// The credentials that a value shows in the header called `name`, as the documents say they are shown; `None` for
/// something else that stands where one would.
fn shown(world: &World, name: &str, value: &str, upgrades: bool) -> Vec<Option<String>> {
    let after = |scheme: &str| {
        let start = value.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme))?;
        let rest = value.get(start.len()..)?;
        rest.starts_with(' ').then(|| rest.trim_start_matches(' ').to_owned())
    };
    match name {
        "authorization" => {
            vec![after("bearer").or_else(|| (after("basic")? == world.basic).then(|| world.key.clone()))]
        }
        "x-api-key" => vec![Some(value.to_owned())],
        // Whoever reads Latin-1 where we read no text would see one.
        "sec-websocket-protocol" if !value.is_ascii() => vec![None],
        "sec-websocket-protocol" => {
            let offered =
                value.split(',').map(str::trim).filter_map(|one| one.strip_prefix("claviger.bearer."));
            offered.map(|one| upgrades.then(|| one.to_owned())).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn target() {
    check!().for_each(|bytes: &[u8]| {
        let world = &*WORLD;
        let words = [
            world.key.as_str(),
            world.other.as_str(),
            world.basic.as_str(),
            "Bearer ",
            "bearer  ",
            "Basic ",
            "claviger.bearer.",
            "claviger",
            ", ",
            "websocket",
            "sk_live_",
            "eyJhbGciOiJFZERTQSJ9.e30.c2ln",
            "\t",
            " ",
            "\u{e9}",
        ];
        let mut request = TestRequest::get("/api/v1/leads");
        let mut lines = Vec::new();
        for line in bytes.split(|byte| *byte == b'\n').take(8) {
            let Some((name, value)) = line.split_first() else { continue };
            let name = NAMES[usize::from(*name) % NAMES.len()];
            // As a server hands it on: without space around it.
            let value = spelt(value, &words).trim_matches([' ', '\t']).to_owned();
            let Ok(header) = HeaderValue::from_str(&value) else { continue };
            request.headers.append(HeaderName::from_static(name), header);
            lines.push((name, value));
        }
        let upgrades =
            lines.iter().any(|(name, value)| *name == "upgrade" && value.eq_ignore_ascii_case("websocket"));
        let all: Vec<Option<String>> =
            lines.iter().flat_map(|(name, value)| shown(world, name, value, upgrades)).collect();
        let outcome = request.decide(&world.test, &world.api);
        let good = [&world.key, &world.other];
        match (&outcome, all.as_slice()) {
            (Ok(permit), [Some(one)]) => {
                assert!(good.contains(&one), "{one} in {lines:?}");
                assert_eq!(permit.principal().kind().as_str(), "api-key");
            }
            (Ok(_), _) => panic!("let in by {all:?} in {lines:?}"),
            (Err(refusal), [Some(one)]) if good.contains(&one) => panic!("{refusal}: {lines:?}"),
            (Err(refusal), _) => {
                assert!(matches!(refusal.status().as_u16(), 401 | 429), "{refusal}: {lines:?}")
            }
        }
    });
}
