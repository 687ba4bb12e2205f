use proptest::prelude::*;

use super::*;
use crate::credential::CredentialKind;

fn route(path: &str, resource: &str, access: Option<Access>) -> Route {
    let methods = vec![Method::GET, Method::POST];
    let access = access.map_or(RouteAccess::Ladder, |access| RouteAccess::Every(Level::Needs(access)));
    Route { access, ..Route::new(path, resource.parse().unwrap(), methods) }
}

fn compile(routes: Vec<Route>, paths: Paths, unlisted: Unlisted) -> Result<RouteTable, RouteError> {
    RouteTable::new(routes, paths, Some(unlisted), Oddities::default())
}

fn table(paths: Paths, unlisted: Unlisted) -> RouteTable {
    let routes = vec![
        route("/leads", "leads", None),
        route("/leads/{id}", "leads", Some(Access::Admin)),
        route("/leads/export", "exports", Some(Access::Read)),
        route("/files/{*rest}", "files", None),
    ];
    compile(routes, paths, unlisted).unwrap()
}

fn need(table: &RouteTable, method: &str, path: &str) -> Result<String, Reason> {
    let uri = path.parse().unwrap();
    let need = table.need(&method.parse().unwrap(), &Target::of(&uri)?)?;
    let demand = |demand: &Demand| {
        format!("{}:{}", demand.resource.as_ref().map_or("*", Resource::as_str), demand.access)
    };
    let demands: Vec<String> = need.demands().iter().map(demand).collect();
    let demands = if need.is_public() { "public".to_owned() } else { demands.join(" ") };
    Ok(format!("{demands}{}", if need.not_among().is_some() { " 405" } else { "" }))
}

/// Routes for whoever has the two lesser accesses of it.
fn lenient(lines: &[(&str, &str, Option<Access>)]) -> RouteTable {
    let routes = lines.iter().map(|(path, resource, access)| route(path, resource, *access)).collect();
    compile(routes, Paths::Lenient, Unlisted::NotFound).unwrap()
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
        ("POST", "/other", "*:write"),
        ("DELETE", "/other", "*:admin"),
        ("PUT", "/other", "*:read 405"),
        ("BREW", "/other", "*:read 405"),
    ] {
        assert_eq!(need(&table, method, path).unwrap(), expected, "{method} {path}");
    }
    for method in ["TRACE", "CONNECT"] {
        assert!(matches!(need(&table, method, "/leads"), Err(Reason::MethodNotAllowed { .. })));
    }
}

#[test]
fn core_04_an_api_that_lists_any_route_answers_404_to_the_others_unless_it_says_ladder() {
    let of =
        |routes, unlisted| RouteTable::new(routes, Paths::Lenient, unlisted, Oddities::default()).unwrap();
    let some = || vec![route("/leads", "leads", None)];
    assert_eq!(need(&of(some(), None), "GET", "/other"), Err(Reason::NoSuchRoute));
    assert_eq!(need(&of(some(), Some(Unlisted::Ladder)), "GET", "/other").unwrap(), "*:read");
    assert_eq!(need(&of(Vec::new(), None), "GET", "/other").unwrap(), "*:read");
    assert_eq!(of(Vec::new(), None).unlisted(), Unlisted::Ladder);
}

#[test]
fn core_01_a_listed_put_is_write_and_any_other_method_off_the_ladder_has_to_say_its_access() {
    let with = |methods: &[&str], access| Route {
        methods: methods.iter().map(|name| name.parse().unwrap()).collect(),
        access,
        ..route("/records/{id}", "records", None)
    };
    let one = |route| compile(vec![route], Paths::Lenient, Unlisted::NotFound);
    let put = one(with(&["GET", "PUT"], RouteAccess::Ladder)).unwrap();
    assert_eq!(need(&put, "PUT", "/records/1").unwrap(), "records:write");
    assert_eq!(need(&put, "GET", "/records/1").unwrap(), "records:read");
    let error = one(with(&["GET", "PROPFIND"], RouteAccess::Ladder)).unwrap_err();
    assert_eq!((error.at, error.path.as_str()), (0, "/records/{id}"));
    assert!(error.why.contains("`PROPFIND`"), "{error}");
    let propfind: Method = "PROPFIND".parse().unwrap();
    let said = RouteAccess::PerMethod(vec![(propfind, Level::Needs(Access::Read))]);
    let said = one(with(&["GET", "PROPFIND"], said)).unwrap();
    assert_eq!(need(&said, "PROPFIND", "/records/1").unwrap(), "records:read");
    let every = one(with(&["PROPFIND"], RouteAccess::Every(Level::Needs(Access::Admin)))).unwrap();
    assert_eq!(need(&every, "PROPFIND", "/records/1").unwrap(), "records:admin");
    for methods in [&["TRACE"][..], &["CONNECT"], &["GET", "GET"], &[]] {
        assert!(one(with(methods, RouteAccess::Every(Level::Needs(Access::Read)))).is_err(), "{methods:?}");
    }
}

#[test]
fn access_is_said_by_method() {
    let levels = vec![
        (Method::GET, Level::Needs(Access::Admin)),
        (Method::PUT, Level::Needs(Access::Read)),
        (Method::DELETE, Level::Needs(Access::Write)),
    ];
    let methods = vec![Method::GET, Method::PUT, Method::POST, Method::DELETE];
    let by_method = Route {
        methods: methods.clone(),
        access: RouteAccess::PerMethod(levels.clone()),
        ..route("/a", "a", None)
    };
    let table = compile(vec![by_method], Paths::Lenient, Unlisted::NotFound).unwrap();
    for (method, expected) in [
        ("GET", "a:admin"),
        ("HEAD", "a:admin"),
        ("OPTIONS", "a:admin"),
        ("PUT", "a:read"),
        ("POST", "a:write"),
        ("DELETE", "a:write"),
        ("PATCH", "a:write 405"),
        ("BREW", "a:read 405"),
    ] {
        assert_eq!(need(&table, method, "/a").unwrap(), expected, "{method}");
    }
    let head = RouteAccess::PerMethod(vec![
        (Method::GET, Level::Needs(Access::Admin)),
        (Method::HEAD, Level::Needs(Access::Write)),
    ]);
    let head = Route { methods: vec![Method::GET], access: head, ..route("/a", "a", None) };
    let table = compile(vec![head], Paths::Lenient, Unlisted::NotFound).unwrap();
    assert_eq!(need(&table, "HEAD", "/a").unwrap(), "a:write");
    assert_eq!(need(&table, "OPTIONS", "/a").unwrap(), "a:admin");
    let stray = Route {
        methods: vec![Method::GET],
        access: RouteAccess::PerMethod(levels),
        ..route("/a", "a", None)
    };
    let error = compile(vec![stray], Paths::Lenient, Unlisted::NotFound).unwrap_err();
    assert!(error.why.contains("`PUT`"), "{error}");
}

#[test]
fn the_allow_list_names_every_method_once() {
    let route = Route { methods: vec![Method::GET, Method::HEAD, Method::POST], ..route("/a", "a", None) };
    let table = compile(vec![route], Paths::Lenient, Unlisted::NotFound).unwrap();
    let uri = "/a".parse().unwrap();
    let need = table.need(&Method::DELETE, &Target::of(&uri).unwrap()).unwrap();
    assert_eq!(need.not_among(), Some("GET, HEAD, POST, OPTIONS"));
}

#[test]
fn who_may_not_come_near_a_route_is_not_told_which_methods_it_has() {
    let only = |methods: Vec<Method>, access| Route { methods, ..route("/a", "a", access) };
    let admin =
        compile(vec![only(vec![Method::POST], Some(Access::Admin))], Paths::Lenient, Unlisted::NotFound);
    assert_eq!(need(&admin.unwrap(), "GET", "/a").unwrap(), "a:admin 405");
    let write = compile(vec![only(vec![Method::POST], None)], Paths::Lenient, Unlisted::NotFound).unwrap();
    assert_eq!(need(&write, "GET", "/a").unwrap(), "a:write 405");
    assert_eq!(need(&write, "PUT", "/a").unwrap(), "a:read 405", "row a05");
}

#[test]
fn a_public_route_is_public_in_every_reading_or_not_at_all() {
    let public =
        |path: &str| Route { access: RouteAccess::Every(Level::Public), ..route(path, "health", None) };
    let routes = vec![public("/status"), public("/docs/{*rest}"), route("/docs/a/draft", "drafts", None)];
    let table = compile(routes, Paths::Lenient, Unlisted::NotFound).unwrap();
    for path in ["/status", "/STATUS", "/status/", "/docs/a", "/docs/a/b", "/sta%74us"] {
        assert_eq!(need(&table, "GET", path).unwrap(), "public", "{path}");
    }
    assert_eq!(need(&table, "POST", "/status").unwrap(), "public");
    assert_eq!(need(&table, "HEAD", "/status").unwrap(), "public");
    assert_eq!(need(&table, "DELETE", "/status").unwrap(), "health:admin 405");
    for path in ["/docs/a/draft", "/docs/a/DRAFT", "/docs/a/draft/", "/docs/a/dr%61ft", "/docs/a/draft.html"]
    {
        assert_eq!(need(&table, "GET", path).unwrap(), "drafts:read", "{path}");
    }
    let some = Route {
        access: RouteAccess::PerMethod(vec![(Method::GET, Level::Public)]),
        ..route("/items", "items", None)
    };
    let table = compile(vec![some], Paths::Lenient, Unlisted::NotFound).unwrap();
    assert_eq!(need(&table, "GET", "/items").unwrap(), "public");
    assert_eq!(need(&table, "OPTIONS", "/items").unwrap(), "public");
    assert_eq!(need(&table, "POST", "/items").unwrap(), "items:write");
    assert_eq!(need(&table, "PATCH", "/items").unwrap(), "items:write 405");
}

#[test]
fn core_08_a_websocket_route_that_does_not_say_its_access_needs_the_most_there_is() {
    let socket = |access| Route { websocket: true, methods: vec![Method::GET], ..route("/ws", "ws", access) };
    let table = |access| compile(vec![socket(access)], Paths::Lenient, Unlisted::NotFound).unwrap();
    assert_eq!(need(&table(None), "GET", "/ws").unwrap(), "ws:admin");
    assert_eq!(need(&table(Some(Access::Read)), "GET", "/ws").unwrap(), "ws:read");
}

#[test]
fn core_03_a_path_is_read_with_and_without_case_with_and_without_its_slash() {
    let users =
        lenient(&[("/users/{id}", "users", Some(Access::Admin)), ("/users/me", "me", Some(Access::Read))]);
    assert_eq!(need(&users, "GET", "/users/me").unwrap(), "me:read");
    for path in ["/users/ME", "/users/ME/", "/users/Me/", "/users/%4dE/"] {
        let found = need(&users, "GET", path).unwrap();
        assert!(found.contains("users:admin") && found.contains("me:read"), "{path}: {found}");
    }
    let reports = lenient(&[
        ("/reports/{*rest}", "all", Some(Access::Admin)),
        ("/reports", "list", Some(Access::Read)),
    ]);
    assert_eq!(need(&reports, "GET", "/reports").unwrap(), "list:read");
    for path in ["/reports/", "/REPORTS/", "/Reports/", "/report%73/"] {
        let found = need(&reports, "GET", path).unwrap();
        assert!(found.contains("all:admin") && found.contains("list:read"), "{path}: {found}");
    }
    assert_eq!(need(&reports, "GET", "/REPORTS").unwrap(), "list:read");
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
fn patterns_that_differ_by_case_or_slash_alone_are_read_together() {
    let reports = lenient(&[
        ("/Reports", "reports", Some(Access::Read)),
        ("/reports", "drafts", Some(Access::Admin)),
        ("/REPORTS", "archive", Some(Access::Read)),
        ("/reports/", "index", Some(Access::Read)),
    ]);
    for path in ["/reports", "/Reports", "/rEPORTS", "/reports/"] {
        let found = need(&reports, "GET", path).unwrap();
        for all in ["reports:read", "drafts:admin", "archive:read", "index:read"] {
            assert!(found.contains(all), "{path}: {found}");
        }
    }
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
    let table = compile(routes, Paths::Exact, Unlisted::NotFound).unwrap();
    assert_eq!(need(&table, "GET", "/caf%c3%a9").unwrap(), "menus:read");
    assert_eq!(need(&table, "GET", "/users/%40me").unwrap(), "me:read");
    let keys = lenient(&[("/keys", "keys", Some(Access::Admin)), ("/caf\u{e9}", "menus", None)]);
    assert_eq!(need(&keys, "GET", "/%E2%84%AAeys").unwrap(), "keys:admin", "the Kelvin sign is a k");
    assert_eq!(need(&keys, "GET", "/CAF%C3%89").unwrap(), "menus:read");
}

#[test]
fn core_04_what_is_listed_is_protected_in_every_reading_of_it() {
    let routes = || {
        vec![route("/api/v1/keys", "keys", Some(Access::Admin)), route("/api/v1/leads/{id}", "leads", None)]
    };
    let ladder = compile(routes(), Paths::Lenient, Unlisted::Ladder).unwrap();
    for path in [
        "/api/v1/keys%3f",
        "/api/v1/keys%3Fa=b",
        "/api/v1/keys%23a",
        "/api/v1/keys%3bv=1",
        "/api/v1%3bv=1/keys",
        "/api/v1/keys.json",
        "/api/v1/keys.json/",
        "/api/v1/keys%20",
        "/api/v1/keys.",
        "/api/v1/KEYS.JSON",
        "/api/v1/%256beys",
        "/api/v1/leads/..%252fkeys",
        "/api/v1/leads/%252e%252e%252f%252e%252e%252fv1%252fkeys",
    ] {
        let found = need(&ladder, "GET", path).unwrap();
        assert!(found.contains("keys:admin"), "{path}: {found}");
    }
    for path in ["/api/v1/keys%3f", "/api/v1/keys.json"] {
        assert_eq!(
            need(&ladder, "GET", path).unwrap(),
            "*:read keys:admin",
            "as listed nowhere and as listed"
        );
    }
    let listed = compile(routes(), Paths::Lenient, Unlisted::NotFound).unwrap();
    for path in ["/api/v1/keys%3f", "/api/v1/keys.json", "/api/v1/keys%20", "/api/v1/keys%3b"] {
        assert_eq!(need(&listed, "GET", path), Err(Reason::NoSuchRoute), "{path}");
    }
    assert_eq!(need(&listed, "GET", "/api/v1/leads/a%3Fb%23c").unwrap(), "leads:read");
    assert_eq!(need(&listed, "GET", "/api/v1/leads/file..name").unwrap(), "leads:read");
}

#[test]
fn what_is_odd_in_a_path_is_taken_where_api_or_route_ask_for_it() {
    let slash = Oddities { encoded_slash: true, ..Oddities::default() };
    let matrix = Oddities { matrix: true, ..Oddities::default() };
    let utf8 = Oddities { raw_utf8: true, ..Oddities::default() };
    let routes = |oddities| {
        vec![
            Route { oddities, ..route("/u/{name}", "packages", None) },
            route("/u/{name}/{version}", "versions", Some(Access::Admin)),
            route("/admin/{*rest}", "admin", Some(Access::Admin)),
        ]
    };
    let none = Oddities::default();
    let of = |by_route, by_api| {
        RouteTable::new(routes(by_route), Paths::Lenient, Some(Unlisted::Ladder), by_api).unwrap()
    };
    let (plain, by_api) = (of(none, none), of(none, slash.either(matrix).either(utf8)));
    for (path, odd, demands) in [
        ("/u/@scope%2Fname", slash, "packages:read versions:admin"),
        ("/u/invoices;interval=2015-06", matrix, "packages:read"),
        ("/u/a;x/b;y", matrix, "versions:admin"),
        ("/u/caf\u{e9}", utf8, "packages:read"),
    ] {
        assert!(matches!(need(&plain, "GET", path), Err(Reason::MalformedRequest { .. })), "{path}");
        assert_eq!(need(&by_api, "GET", path).unwrap(), demands, "{path}");
        let by_route = need(&of(odd, none), "GET", path);
        if demands == "packages:read" {
            assert_eq!(by_route.unwrap(), demands, "{path}");
        } else {
            assert!(by_route.is_err(), "{path}: every route that it may be read as has to ask for it");
        }
        let others = need(
            &of(
                none,
                Oddities { encoded_slash: !odd.encoded_slash, matrix: !odd.matrix, raw_utf8: !odd.raw_utf8 },
            ),
            "GET",
            path,
        );
        assert!(others.is_err(), "{path}: each is asked for by itself");
    }
    let odd_elsewhere = of(slash.either(matrix).either(utf8), none);
    assert!(need(&odd_elsewhere, "GET", "/other%2f").is_err(), "what no route lists, no route asks for");
    for (path, also) in
        [("/u;x/admin;y", "versions"), ("/admin;x/users", "admin"), ("/%61dmin%2fusers", "admin")]
    {
        let found = need(&by_api, "GET", path).unwrap();
        assert!(found.contains(&format!("{also}:admin")) || path.starts_with("/u;"), "{path}: {found}");
    }
    assert_eq!(
        need(&by_api, "GET", "/a%2f..;/b").unwrap_err(),
        Reason::MalformedRequest { why: "the path has a dot segment" }
    );
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
    let lenient = compile(routes(), Paths::Lenient, Unlisted::Ladder).unwrap();
    for path in ["/manage", "/manage/", "/manage/a", "/manage/a/"] {
        assert_eq!(need(&lenient, "GET", path).unwrap(), "manage:admin legacy:admin", "{path}");
    }
    assert_eq!(need(&lenient, "GET", "/files").unwrap(), "listing:read");
    let exact = compile(routes(), Paths::Exact, Unlisted::Ladder).unwrap();
    assert_eq!(need(&exact, "GET", "/manage/").unwrap(), "manage:admin");
    assert_eq!(need(&exact, "GET", "/manage").unwrap(), "*:read");
    let root = vec![route("/{*rest}", "all", Some(Access::Admin))];
    let root = compile(root, Paths::Lenient, Unlisted::Ladder).unwrap();
    assert_eq!(need(&root, "GET", "/").unwrap(), "all:admin");
}

#[test]
fn patterns_that_clash_are_refused_by_their_place() {
    let clash = |second: &str| {
        let routes = vec![route("/a/{x}", "a", None), route(second, "b", None)];
        compile(routes, Paths::Lenient, Unlisted::Ladder).unwrap_err()
    };
    for second in ["/a/{y}", "/a//b", "/a/*", "b", "/a/{x}suffix{y}", "/a/{*rest}"] {
        let error = clash(second);
        assert_eq!((error.at, error.path.as_str()), (1, second), "{error}");
    }
    assert!(clash("/a/{*rest}").why.starts_with("it clashes with `/a/{x}`"), "{}", clash("/a/{*rest}"));
    assert_eq!(clash("/a/{y}").why, "it takes the same paths as `/a/{x}`");
    assert!(
        compile(
            vec![route("/a/{x}", "a", None), route("/A/{y}", "b", None)],
            Paths::Lenient,
            Unlisted::Ladder
        )
        .is_ok()
    );
}

#[test]
fn kinds_and_cost_are_of_every_reading() {
    let kinds = |kind| Some([kind].into_iter().collect::<Kinds>());
    let routes = vec![
        Route {
            cost: 3,
            credentials: kinds(CredentialKind::ApiKey),
            websocket: true,
            ..route("/a/{x}", "a", None)
        },
        Route {
            cost: 5,
            credentials: kinds(CredentialKind::UserToken),
            ..route("/a/b", "b", Some(Access::Read))
        },
    ];
    let table = compile(routes, Paths::Lenient, Unlisted::NotFound).unwrap();
    let of = |path: &str| {
        let uri = path.parse().unwrap();
        table.need(&Method::GET, &Target::of(&uri).unwrap()).unwrap()
    };
    assert_eq!((of("/a/1").cost(), of("/a/1").websocket()), (3, true));
    let both = of("/a/B");
    assert_eq!((both.cost(), both.websocket()), (5, false));
    assert!(both.credentials().unwrap().is_empty());
}

// ---- every reading, against a matcher that knows nothing of the one above

/// A server behind us: what it does to a path before it matches, and to its patterns.
#[derive(Debug, Clone, Copy)]
struct Server {
    minds_case: bool,
    minds_slash: bool,
    decodes: bool,
}

impl Server {
    fn all(paths: Paths) -> Vec<Self> {
        let choices = if paths == Paths::Lenient { &[true, false][..] } else { &[true] };
        let mut all = Vec::new();
        for &minds_case in choices {
            for &minds_slash in choices {
                for decodes in [true, false] {
                    all.push(Self { minds_case, minds_slash, decodes });
                }
            }
        }
        all
    }

    fn see(self, text: &str) -> Vec<String> {
        let text =
            if self.minds_slash || text == "/" { text } else { text.strip_suffix('/').unwrap_or(text) };
        let text = if self.minds_case { text.to_owned() } else { text.to_lowercase() };
        text.split('/').skip(1).map(str::to_owned).collect()
    }

    /// The routes that this server would take the path for: the most particular there are.
    fn takes(self, patterns: &[String], paths: Paths, path: &str) -> Vec<usize> {
        let decoded = path.replace("%61", "a").replace("%41", "A").replace("%62", "b");
        let segments = self.see(if self.decodes { &decoded } else { path });
        let rank = |pattern: &[String]| -> Option<Vec<u8>> { matches(pattern, &segments) };
        let seen: Vec<Vec<String>> = patterns.iter().map(|pattern| self.see(pattern)).collect();
        let mut ranked: Vec<(Vec<u8>, usize)> = Vec::new();
        for (at, pattern) in seen.iter().enumerate() {
            if let Some(rank) = rank(pattern) {
                ranked.push((rank, at));
            }
            // What takes everything below a path takes the path itself, unless that is listed.
            if pattern.last().is_some_and(|last| last.starts_with("{*")) {
                let above = &pattern[..pattern.len() - 1];
                let mut with_slash = above.to_vec();
                with_slash.push(String::new());
                let bare = (paths == Paths::Lenient && !above.is_empty()).then(|| above.to_vec());
                let with_slash = (self.minds_slash || above.is_empty()).then_some(with_slash);
                for above in [bare, with_slash].into_iter().flatten() {
                    let is_listed = seen.iter().any(|other| same(other, &above));
                    if !is_listed && let Some(rank) = rank(&above) {
                        ranked.push((rank, at));
                    }
                }
            }
        }
        let Some(best) = ranked.iter().map(|(rank, _)| rank.clone()).min() else { return Vec::new() };
        ranked.into_iter().filter(|(rank, _)| *rank == best).map(|(_, at)| at).collect()
    }
}

fn same(one: &[String], other: &[String]) -> bool {
    let form = |segment: &String| if segment.starts_with('{') { "{}".to_owned() } else { segment.clone() };
    one.iter().map(form).eq(other.iter().map(form))
}

/// How particular a match is, segment by segment: 0 for a literal, 1 for a parameter, 2 for all the rest.
fn matches(pattern: &[String], path: &[String]) -> Option<Vec<u8>> {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => Some(Vec::new()),
        (Some((first, _)), Some(_)) if first.starts_with("{*") => {
            (path.iter().any(|segment| !segment.is_empty())).then(|| vec![2])
        }
        (Some((first, rest)), Some((segment, left))) => {
            let is_parameter = first.starts_with('{');
            if is_parameter && segment.is_empty() || !is_parameter && first != segment {
                return None;
            }
            let mut rank = vec![u8::from(is_parameter)];
            rank.extend(matches(rest, left)?);
            Some(rank)
        }
        _ => None,
    }
}

fn pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![Just("a"), Just("A"), Just("b"), Just("{x}")];
    let end = prop_oneof![3 => Just(""), 1 => Just("/"), 1 => Just("/{*rest}")];
    (prop::collection::vec(segment, 1..4), end)
        .prop_map(|(segments, end)| format!("/{}{end}", segments.join("/")))
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        Just("a"),
        Just("A"),
        Just("b"),
        Just("B"),
        Just("c"),
        Just("%61"),
        Just("%41"),
        Just("%62")
    ];
    (prop::collection::vec(segment, 1..5), any::<bool>())
        .prop_map(|(segments, slash)| format!("/{}{}", segments.join("/"), if slash { "/" } else { "" }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever a server behind us minds or does not, what it takes the path for is among what is demanded; and
    /// nothing else is.
    #[test]
    fn every_reading_of_a_path_is_demanded(
        patterns in prop::collection::btree_set(pattern(), 1..7),
        paths_shown in prop::collection::vec(path(), 8),
        is_lenient in any::<bool>(),
    ) {
        let patterns: Vec<String> = patterns.into_iter().collect();
        let paths = if is_lenient { Paths::Lenient } else { Paths::Exact };
        let routes = patterns.iter().enumerate().map(|(at, path)| route(path, &format!("r{at}"), Some(Access::Read)));
        // Patterns that clash have no table.
        let Ok(table) = compile(routes.collect(), paths, Unlisted::NotFound) else { return Ok(()) };
        for path in paths_shown {
            let mut expected: Vec<String> = Server::all(paths)
                .into_iter()
                .flat_map(|server| server.takes(&patterns, paths, &path))
                .map(|at| format!("r{at}:read"))
                .collect();
            expected.sort();
            expected.dedup();
            let mut found: Vec<String> = match need(&table, "GET", &path) {
                Ok(found) => found.split(' ').map(str::to_owned).collect(),
                Err(_) => Vec::new(),
            };
            found.sort();
            prop_assert_eq!(found, expected, "{:?} in {:?}", path, patterns);
        }
    }
}

#[test]
fn a_table_is_printed_as_its_paths() {
    let printed = format!("{:?}", table(Paths::Exact, Unlisted::NotFound));
    assert_eq!(printed, r#"["/leads", "/leads/{id}", "/leads/export", "/files/{*rest}"]"#);
}
