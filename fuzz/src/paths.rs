//! whatever a server behind us makes of a path, what it then serves was asked for.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use crate::spelt;
use bolero::check;
use claviger::grants::Access;
use claviger::route::{Level, Paths, Route, RouteAccess, RouteTable};
use claviger::target::{Oddities, Target};
use http::{Method, Uri};
use percent_encoding::percent_decode_str;

const WORDS: [&str; 28] = [
    "/keys",
    "/KEYS",
    "/admin",
    "/users/",
    "/me",
    "/reports",
    "/status",
    "%2f",
    "%2F",
    "%3f",
    "%23",
    "%3b",
    "%25",
    "%2e",
    ";a=1",
    ".json",
    "/",
    "..",
    "%20",
    "%6b",
    "%256b",
    "\u{e9}",
    "%c3%a9",
    "/caf\u{e9}",
    "/%256beys",
    "%252f",
    "/users/%256d",
    "%253b",
];

/// Pattern and resource, as they are compared by whoever minds everything.
const ROUTES: [(&str, &str); 8] = [
    ("/keys", "keys"),
    ("/keys/{id}", "key"),
    ("/admin/{*rest}", "admin"),
    ("/users/{id}", "users"),
    ("/users/me", "me"),
    ("/Reports", "reports"),
    ("/reports/{*rest}", "archive"),
    ("/caf\u{e9}", "cafe"),
];

static TABLE: LazyLock<RouteTable> = LazyLock::new(|| {
    let all = Oddities { encoded_slash: true, matrix: true, raw_utf8: true };
    let access = RouteAccess::Every(Level::Needs(Access::Read));
    let route = |(path, resource): (&str, &str)| Route {
        access: access.clone(),
        ..Route::new(path, resource.parse().unwrap(), vec![Method::GET])
    };
    let public = Route {
        access: RouteAccess::Every(Level::Public),
        ..Route::new("/status", "status".parse().unwrap(), vec![Method::GET])
    };
    let routes = ROUTES.into_iter().map(route).chain([public]).collect();
    RouteTable::new(routes, Paths::Lenient, None, all).unwrap()
});

type Step = fn(&str) -> String;

fn decode(path: &str) -> String {
    String::from_utf8_lossy(&percent_decode_str(path).collect::<Vec<u8>>()).into_owned()
}

fn fold(path: &str) -> String {
    path.to_lowercase()
}

fn forget_slash(path: &str) -> String {
    if path.len() > 1 { path.strip_suffix('/').unwrap_or(path).to_owned() } else { path.to_owned() }
}

/// What servers are known to leave out of a path before they look for what to serve, whatever else they do.
const CUTS: [Step; 5] = [
    |path| {
        path.split('/').map(|part| part.split(';').next().unwrap_or_default()).collect::<Vec<_>>().join("/")
    },
    |path| path.split('?').next().unwrap_or_default().to_owned(),
    |path| path.split('#').next().unwrap_or_default().to_owned(),
    |path| path.strip_suffix(".json").unwrap_or(path).to_owned(),
    |path| path.trim_end().to_owned(),
];

/// Adds what is left of a path when any of the cuts are made, each once and in any order.
fn cut(path: String, cuts: &[Step], all: &mut BTreeSet<String>) {
    for (at, cut_off) in cuts.iter().enumerate() {
        let left = cut_off(&path);
        if left != path {
            let others: Vec<Step> = [&cuts[..at], &cuts[at + 1..]].concat();
            cut(left, &others, all);
        }
    }
    all.insert(path);
}

/// What servers make of a path, and whether they mind case: decoding never, once or twice, then some cuts, then a slash
/// at the end or not.
fn seen(path: &str) -> BTreeSet<(String, bool)> {
    let once = decode(path);
    let mut all = BTreeSet::new();
    for path in [path.to_owned(), decode(&once), once] {
        cut(path, &CUTS, &mut all);
    }
    let both = all.into_iter().flat_map(|path| [forget_slash(&path), path]);
    both.flat_map(|path| [(fold(&path), true), (path, false)]).collect()
}

fn matches(pattern: &str, path: &str, folds: bool) -> bool {
    let pattern = if folds { pattern.to_lowercase() } else { pattern.to_owned() };
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    for (at, part) in pattern.iter().enumerate() {
        match path.get(at) {
            Some(rest) if part.starts_with("{*") => return !rest.is_empty() || path.len() > at + 1,
            Some(one) if part.starts_with('{') && !one.is_empty() => {}
            Some(one) if one == part => {}
            _ => return false,
        }
    }
    pattern.len() == path.len()
}

#[test]
fn target() {
    check!().for_each(|bytes: &[u8]| {
        let text = spelt(bytes, &WORDS);
        let Ok(uri) = text.parse::<Uri>() else { return };
        if uri.authority().is_some() {
            return;
        }
        let Ok(target) = Target::of(&uri) else { return };
        let need = match TABLE.need(&Method::GET, &target) {
            Ok(need) => need,
            Err(_) => return,
        };
        let demanded: Vec<&str> = need
            .demands()
            .iter()
            .filter_map(|demand| demand.resource.as_ref())
            .map(|resource| resource.as_str())
            .collect();
        for (path, folds) in seen(target.path()) {
            let plain: Vec<&str> = ROUTES
                .iter()
                .filter(|(pattern, _)| !pattern.contains('{') && matches(pattern, &path, folds))
                .map(|(_, resource)| *resource)
                .collect();
            // What is written out in full goes before what is not, wherever routes are compared.
            let served = if plain.is_empty() {
                ROUTES
                    .iter()
                    .find(|(pattern, _)| matches(pattern, &path, folds))
                    .map(|(_, resource)| *resource)
            } else {
                plain.first().copied()
            };
            if let Some(served) = served {
                assert!(
                    demanded.contains(&served),
                    "{:?} is {served} to a server that sees {path:?}; demanded {demanded:?}",
                    target.path()
                );
            }
        }
    });
}
