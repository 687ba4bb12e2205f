//! What a request needs, by method and path.

use std::fmt;
use std::sync::Arc;

use http::Method;

use crate::api::Kinds;
use crate::grants::Access;
use crate::id::Resource;
use crate::refusal::Reason;
use crate::target::Target;

/// A path an API lists, as configured.
#[derive(Debug, Clone)]
pub struct Route {
    /// The pattern: `/api/v1/orders/{id}`; `{*rest}` at the end takes everything below.
    pub path: String,
    /// What it is about.
    pub resource: Resource,
    /// The methods it has. `GET` brings `HEAD` and `OPTIONS` with it.
    pub methods: Vec<Method>,
    /// The access every method needs; `None` leaves it to the ladder.
    pub access: Option<Access>,
    /// The kinds of credential it takes, where that is fewer than the API's.
    pub credentials: Option<Kinds>,
    /// Whether a WebSocket may be opened here.
    pub websocket: bool,
    /// How much of a limit one request takes.
    pub cost: u32,
}

/// The ladder of methods: the access that a method needs where nothing else is said. A method that is not on it
/// needs the least there is, because it is answered with 405 once the caller is known.
pub fn ladder(method: &Method) -> Access {
    match *method {
        Method::POST | Method::PATCH => Access::Write,
        Method::DELETE => Access::Admin,
        _ => Access::Read,
    }
}

/// What becomes of a path that no route lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum Unlisted {
    /// It needs what the ladder says, on every resource.
    #[serde(rename = "ladder")]
    Ladder,
    /// 404.
    #[serde(rename = "404")]
    NotFound,
}

/// How patterns and paths are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Paths {
    /// To the letter.
    Exact,
    /// Without regard to ASCII case or one trailing slash, as many upstreams do; of several readings of a path
    /// the strictest holds.
    Lenient,
}

/// Access to one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// On what; `None` for a path that no route lists, which takes a bundle.
    pub resource: Option<Resource>,
    /// How far.
    pub access: Access,
}

/// What a request needs to be let in.
#[derive(Debug, Clone)]
pub struct Need {
    demand: Demand,
    /// What other readings of the same path would need, each about a resource of its own.
    other_readings: Vec<Demand>,
    credentials: Option<Kinds>,
    /// The methods the path has, if the request's is not among them.
    not_among: Option<Arc<str>>,
    websocket: bool,
    cost: u32,
}

impl Need {
    /// Everything that must be granted.
    pub fn demands(&self) -> impl Iterator<Item = &Demand> {
        std::iter::once(&self.demand).chain(&self.other_readings)
    }

    /// The kinds of credential the route takes, where that is fewer than the API's.
    pub fn credentials(&self) -> Option<Kinds> {
        self.credentials
    }

    /// The `Allow` list, if the path does not have the request's method: 405 once the caller is let in.
    pub fn not_among(&self) -> Option<&str> {
        self.not_among.as_deref()
    }

    /// Whether a WebSocket may be opened.
    pub fn websocket(&self) -> bool {
        self.websocket
    }

    /// How much of a limit the request takes.
    pub fn cost(&self) -> u32 {
        self.cost
    }

    /// A need for one thing, without a route behind it: what embedders hand to the door.
    pub fn of(resource: Resource, access: Access) -> Self {
        Self {
            demand: Demand { resource: Some(resource), access },
            other_readings: Vec::new(),
            credentials: None,
            not_among: None,
            websocket: false,
            cost: 1,
        }
    }
}

/// Why a table of routes could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route `{path}`: {why}")]
pub struct RouteError {
    path: String,
    why: String,
}

/// The paths of an API.
pub struct RouteTable {
    routes: Vec<Compiled>,
    exact: matchit::Router<usize>,
    /// The same patterns in lower case and without a trailing slash; `None` where paths are exact.
    folded: Option<matchit::Router<Vec<usize>>>,
    unlisted: Unlisted,
}

struct Compiled {
    route: Route,
    allow: Arc<str>,
}

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|compiled| &compiled.route.path)).finish()
    }
}

impl RouteTable {
    /// Compiles `routes`.
    ///
    /// # Errors
    /// If a pattern is malformed, or two of them take the same paths.
    pub fn new(routes: Vec<Route>, paths: Paths, unlisted: Unlisted) -> Result<Self, RouteError> {
        let mut table = Self { routes: Vec::new(), exact: matchit::Router::new(), folded: None, unlisted };
        let mut folded: Vec<(String, Vec<usize>)> = Vec::new();
        let mut above: Vec<(String, Vec<usize>)> = Vec::new();
        for (at, route) in routes.into_iter().enumerate() {
            let error = |why: String| RouteError { path: route.path.clone(), why };
            check_pattern(&route.path).map_err(|why| error(why.into()))?;
            if route.methods.is_empty() {
                return Err(error("it has no methods, so nothing could reach it".into()));
            }
            table.exact.insert(&route.path, at).map_err(|e| error(e.to_string()))?;
            gather(&mut folded, fold_pattern(&route.path), at);
            if let Some(parent) = above_catch_all(&route.path) {
                gather(&mut above, fold_pattern(parent), at);
            }
            let allow = allow_list(&route.methods).into();
            table.routes.push(Compiled { route, allow });
        }
        // What takes everything below a path takes the path itself, unless that is listed: otherwise
        // `/manage/` would need less than `/manage/{*rest}`.
        for (at, compiled) in table.routes.iter().enumerate() {
            if let Some(parent) = above_catch_all(&compiled.route.path) {
                // The one error there can be is that it is listed.
                let _ = table.exact.insert(parent, at);
            }
        }
        above.retain(|(pattern, _)| folded.iter().all(|(other, _)| other != pattern));
        folded.append(&mut above);
        if paths == Paths::Lenient {
            let mut router = matchit::Router::new();
            for (pattern, routes) in folded {
                router
                    .insert(&pattern, routes)
                    .map_err(|e| RouteError { path: pattern.clone(), why: e.to_string() })?;
            }
            table.folded = Some(router);
        }
        Ok(table)
    }

    /// The configured routes.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().map(|compiled| &compiled.route)
    }

    /// What a request with this method and target needs.
    ///
    /// # Errors
    /// 404 for a path that is not listed where the API says so, 405 for `CONNECT` and `TRACE`.
    pub fn need(&self, method: &Method, target: &Target<'_>) -> Result<Need, Reason> {
        if matches!(*method, Method::CONNECT | Method::TRACE) {
            return Err(Reason::MethodNotAllowed { allow: "GET, HEAD, OPTIONS, POST, PATCH, DELETE".into() });
        }
        let mut readings = Vec::with_capacity(1);
        self.read(target.path(), &mut readings);
        if let Some(decoded) = target.decoded_path() {
            self.read(&decoded, &mut readings);
        }
        let mut needs =
            readings.into_iter().filter_map(|at| self.routes.get(at)).map(|found| found.need(method));
        match (needs.next(), self.unlisted) {
            (Some(first), _) => Ok(needs.fold(first, Need::strictest)),
            (None, Unlisted::Ladder) => Ok(Need {
                demand: Demand { resource: None, access: ladder(method) },
                other_readings: Vec::new(),
                credentials: None,
                not_among: (!on_ladder(method)).then(|| LADDER_METHODS.into()),
                websocket: false,
                cost: 1,
            }),
            (None, Unlisted::NotFound) => Err(Reason::NoSuchRoute),
        }
    }

    /// Adds the routes that `path` may be read as to `readings`, each once.
    fn read(&self, path: &str, readings: &mut Vec<usize>) {
        let mut add = |at: usize| {
            if !readings.contains(&at) {
                readings.push(at);
            }
        };
        if let Ok(found) = self.exact.at(path) {
            add(*found.value);
        }
        if let Some(folded) = &self.folded
            && let Ok(found) = folded.at(&fold_path(path))
        {
            found.value.iter().copied().for_each(add);
        }
    }
}

const LADDER_METHODS: &str = "GET, HEAD, OPTIONS, POST, PATCH, DELETE";

fn on_ladder(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::POST | Method::PATCH | Method::DELETE
    )
}

impl Compiled {
    fn need(&self, method: &Method) -> Need {
        let route = &self.route;
        let has = |method: &Method| route.methods.contains(method);
        let declared =
            has(method) || (matches!(*method, Method::HEAD | Method::OPTIONS) && has(&Method::GET));
        Need {
            demand: Demand {
                resource: Some(route.resource.clone()),
                // What a route demands of every method holds for those of the ladder that it does not have as
                // well: who may not come near it is not told which it has.
                access: match route.access {
                    Some(access) if declared => access,
                    Some(access) if on_ladder(method) => access.max(ladder(method)),
                    _ => ladder(method),
                },
            },
            other_readings: Vec::new(),
            credentials: route.credentials,
            not_among: (!declared).then(|| self.allow.clone()),
            websocket: route.websocket,
            cost: route.cost,
        }
    }
}

impl Need {
    /// What satisfies both readings of a path.
    fn strictest(mut self, other: Need) -> Need {
        for demand in std::iter::once(other.demand).chain(other.other_readings) {
            let mut own = std::iter::once(&mut self.demand).chain(&mut self.other_readings);
            match own.find(|own| own.resource == demand.resource) {
                Some(own) => own.access = own.access.max(demand.access),
                None => self.other_readings.push(demand),
            }
        }
        Need {
            demand: self.demand,
            other_readings: self.other_readings,
            credentials: match (self.credentials, other.credentials) {
                (Some(a), Some(b)) => Some(a.both(b)),
                (a, b) => a.or(b),
            },
            not_among: self.not_among.or(other.not_among),
            websocket: self.websocket && other.websocket,
            cost: self.cost.max(other.cost),
        }
    }
}

fn allow_list(methods: &[Method]) -> String {
    let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    if methods.contains(&Method::GET) {
        names.extend(["HEAD", "OPTIONS"].iter().filter(|name| methods.iter().all(|m| m.as_str() != **name)));
    }
    names.join(", ")
}

/// A pattern that no normal path could match, or that would not mean what it says, is refused.
fn check_pattern(pattern: &str) -> Result<(), &'static str> {
    if !pattern.starts_with('/') || pattern.contains("//") {
        return Err("a path begins with a slash and has no empty segments");
    }
    if pattern.contains("{{") || pattern.contains("}}") {
        return Err("a path has no braces but those around a parameter");
    }
    if pattern.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("a path has no dot segments");
    }
    if pattern.chars().any(|c| c <= ' ' || matches!(c, '%' | '\\' | ';' | '#' | '?' | '\u{7f}')) {
        return Err("a path is written decoded, and has no space, `%`, `\\`, `;`, `#` or `?`");
    }
    Ok(())
}

/// The path that a catch-all takes everything below of: `/files/` of `/files/{*rest}`.
fn above_catch_all(pattern: &str) -> Option<&str> {
    let (parent, last) = pattern.rsplit_once('/')?;
    if last.starts_with("{*") { pattern.get(..=parent.len()) } else { None }
}

fn gather(patterns: &mut Vec<(String, Vec<usize>)>, pattern: String, at: usize) {
    match patterns.iter_mut().find(|(other, _)| *other == pattern) {
        Some((_, routes)) => routes.push(at),
        None => patterns.push((pattern, vec![at])),
    }
}

/// The pattern in lower case, its parameters' names left alone, without a trailing slash.
fn fold_pattern(pattern: &str) -> String {
    let mut parameter = 0;
    let mut folded = String::new();
    let mut inside = false;
    for c in pattern.chars() {
        match c {
            '{' => {
                inside = true;
                parameter += 1;
                folded.push(c);
            }
            '}' => {
                inside = false;
                // Names do not matter, and patterns that differ in them alone are one.
                folded.push_str(&format!("p{parameter}"));
                folded.push(c);
            }
            '*' if inside => folded.push(c),
            _ if inside => {}
            _ => folded.push(c.to_ascii_lowercase()),
        }
    }
    if folded.len() > 1 && folded.ends_with('/') {
        folded.pop();
    }
    folded
}

fn fold_path(path: &str) -> std::borrow::Cow<'_, str> {
    let trimmed = match path.strip_suffix('/') {
        Some("") | None => path,
        Some(rest) => rest,
    };
    if trimmed.bytes().any(|b| b.is_ascii_uppercase()) {
        trimmed.to_ascii_lowercase().into()
    } else {
        trimmed.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, resource: &str, access: Option<Access>) -> Route {
        Route {
            path: path.into(),
            resource: resource.parse().unwrap(),
            methods: vec![Method::GET, Method::POST],
            access,
            credentials: None,
            websocket: false,
            cost: 1,
        }
    }

    fn table(paths: Paths, unlisted: Unlisted) -> RouteTable {
        let routes = vec![
            route("/leads", "leads", None),
            route("/leads/{id}", "leads", Some(Access::Admin)),
            route("/leads/export", "exports", Some(Access::Read)),
            route("/files/{*rest}", "files", None),
        ];
        RouteTable::new(routes, paths, unlisted).unwrap()
    }

    fn need(table: &RouteTable, method: &str, path: &str) -> Result<String, Reason> {
        let uri = path.parse().unwrap();
        let need = table.need(&method.parse().unwrap(), &Target::of(&uri)?)?;
        let demands: Vec<String> = need
            .demands()
            .map(|demand| {
                format!("{}:{}", demand.resource.as_ref().map_or("*", Resource::as_str), demand.access)
            })
            .collect();
        Ok(format!("{}{}", demands.join(" "), if need.not_among().is_some() { " 405" } else { "" }))
    }

    #[test]
    fn the_method_and_path_say_what_is_needed() {
        let table = table(Paths::Lenient, Unlisted::Ladder);
        for (method, path, expected) in [
            ("GET", "/leads", "leads:read"),
            ("HEAD", "/leads", "leads:read"),
            ("OPTIONS", "/leads", "leads:read"),
            ("POST", "/leads", "leads:write"),
            ("POST", "/leads/", "leads:write"),
            ("GET", "/LEADS", "leads:read"),
            ("GET", "/leads/1", "leads:admin"),
            ("GET", "/leads/export", "exports:read"),
            ("GET", "/files/a/b/c", "files:read"),
            ("DELETE", "/leads", "leads:admin 405"),
            ("PUT", "/leads", "leads:read 405"),
            ("PATCH", "/leads/1", "leads:admin 405"),
            ("DELETE", "/leads/export", "exports:admin 405"),
            ("PUT", "/leads/1", "leads:read 405"),
            ("GET", "/other", "*:read"),
            ("DELETE", "/other", "*:admin"),
            ("PUT", "/other", "*:read 405"),
            ("BREW", "/other", "*:read 405"),
        ] {
            assert_eq!(need(&table, method, path).unwrap(), expected, "{method} {path}");
        }
        assert!(matches!(need(&table, "TRACE", "/leads"), Err(Reason::MethodNotAllowed { .. })));
    }

    #[test]
    fn of_two_readings_of_a_path_both_are_demanded() {
        // An upstream that minds case serves `/leads/EXPORT` as the lead called `EXPORT`.
        let lenient = table(Paths::Lenient, Unlisted::NotFound);
        assert_eq!(need(&lenient, "GET", "/leads/EXPORT").unwrap(), "leads:admin exports:read");
        let exact = table(Paths::Exact, Unlisted::NotFound);
        assert_eq!(need(&exact, "GET", "/leads/EXPORT").unwrap(), "leads:admin");
        assert_eq!(need(&exact, "GET", "/LEADS").unwrap_err(), Reason::NoSuchRoute);
        assert_eq!(need(&exact, "GET", "/leads/").unwrap_err(), Reason::NoSuchRoute);
    }

    #[test]
    fn two_patterns_that_differ_by_case_alone_are_read_together() {
        let routes = vec![
            route("/Reports", "reports", Some(Access::Read)),
            route("/reports", "drafts", Some(Access::Admin)),
        ];
        let table = RouteTable::new(routes, Paths::Lenient, Unlisted::NotFound).unwrap();
        assert_eq!(need(&table, "GET", "/reports").unwrap(), "drafts:admin reports:read");
    }

    #[test]
    fn no_reading_is_lost_among_three() {
        let routes = vec![
            route("/Reports", "reports", Some(Access::Read)),
            route("/reports", "drafts", Some(Access::Admin)),
            route("/REPORTS", "archive", Some(Access::Read)),
        ];
        let table = RouteTable::new(routes, Paths::Lenient, Unlisted::NotFound).unwrap();
        assert_eq!(need(&table, "GET", "/Reports").unwrap(), "reports:read drafts:admin archive:read");
    }

    #[test]
    fn an_encoded_letter_is_read_as_the_letter_too() {
        // An upstream decodes before it matches, so `%65xport` is `export` to it.
        for paths in [Paths::Exact, Paths::Lenient] {
            let table = table(paths, Unlisted::NotFound);
            assert_eq!(need(&table, "GET", "/leads/%65xport").unwrap(), "leads:admin exports:read");
            assert_eq!(need(&table, "GET", "/le%61ds").unwrap(), "leads:read");
        }
        let routes = vec![route("/caf\u{e9}", "menus", None), route("/users/@me", "me", None)];
        let table = RouteTable::new(routes, Paths::Exact, Unlisted::NotFound).unwrap();
        assert_eq!(need(&table, "GET", "/caf%c3%a9").unwrap(), "menus:read");
        assert_eq!(need(&table, "GET", "/users/%40me").unwrap(), "me:read");
    }

    #[test]
    fn a_catch_all_takes_the_path_above_it_too() {
        let routes = || {
            vec![
                route("/manage/{*rest}", "manage", Some(Access::Admin)),
                route("/Manage/{*any}", "legacy", Some(Access::Admin)),
                route("/files/{*rest}", "files", Some(Access::Admin)),
                route("/files", "listing", Some(Access::Read)),
            ]
        };
        let lenient = RouteTable::new(routes(), Paths::Lenient, Unlisted::Ladder).unwrap();
        for path in ["/manage", "/manage/", "/manage/a", "/manage/a/"] {
            assert_eq!(need(&lenient, "GET", path).unwrap(), "manage:admin legacy:admin", "{path}");
        }
        assert_eq!(need(&lenient, "GET", "/files").unwrap(), "listing:read");
        let exact = RouteTable::new(routes(), Paths::Exact, Unlisted::Ladder).unwrap();
        assert_eq!(need(&exact, "GET", "/manage/").unwrap(), "manage:admin");
        assert_eq!(need(&exact, "GET", "/manage").unwrap(), "*:read");
        let root = vec![route("/{*rest}", "all", Some(Access::Admin))];
        let root = RouteTable::new(root, Paths::Lenient, Unlisted::Ladder).unwrap();
        assert_eq!(need(&root, "GET", "/").unwrap(), "all:admin");
    }

    #[test]
    fn patterns_that_clash_are_refused() {
        for routes in [
            vec![route("/a/{x}", "a", None), route("/a/{y}", "a", None)],
            vec![route("a", "a", None)],
            vec![route("/a//b", "a", None)],
            vec![route("/a/../b", "a", None)],
            vec![route("/a/{{b}}", "a", None)],
            vec![route("/a%20b", "a", None)],
            vec![route("/a;b", "a", None)],
            vec![Route { methods: vec![], ..route("/a", "a", None) }],
        ] {
            assert!(RouteTable::new(routes, Paths::Lenient, Unlisted::Ladder).is_err());
        }
    }
}
