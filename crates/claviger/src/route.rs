//! The paths that an API lists, and what each asks for: by method and path to a [`Need`].
//!
//! A server behind us may mind case and a slash at the end of a path, or not; it may decode a path and cut things off
//! it (`readings.rs`). Whatever routes a path may be read as, all of them have to be satisfied.

use std::fmt;
use std::sync::Arc;

use http::Method;

use crate::credential::Kinds;
use crate::grants::Access;
use crate::id::Resource;
use crate::need::{Demand, Need};
use crate::pattern;
use crate::readings::{self, Reading};
use crate::refusal::Reason;
use crate::target::{Oddities, Target};

/// A path an API lists, as configured.
#[derive(Debug, Clone)]
pub struct Route {
    /// The pattern: `/api/v1/orders/{id}`; `{*rest}` at the end takes everything below.
    pub path: String,
    /// What it is about.
    pub resource: Resource,
    /// The methods it has. `GET` brings `HEAD` and `OPTIONS` with it.
    pub methods: Vec<Method>,
    /// The access its methods need.
    pub access: RouteAccess,
    /// The kinds of credential it takes, where that is fewer than the API's.
    pub credentials: Option<Kinds>,
    /// Whether a WebSocket may be opened here. One that does not say its access needs `admin`: nobody knows what is
    /// said in it.
    pub websocket: bool,
    /// How much of a limit one request takes.
    pub cost: u32,
    /// What it takes in its path beyond what the API takes everywhere.
    pub oddities: Oddities,
}

impl Route {
    /// What one of its methods asks for; `None` for one that nobody has said anything of.
    pub fn level(&self, method: &Method) -> Option<Level> {
        level(self, method).ok()
    }

    /// A route with everything left to its default: the ladder's access, and nothing special.
    pub fn new(path: impl Into<String>, resource: Resource, methods: Vec<Method>) -> Self {
        Self {
            path: path.into(),
            resource,
            methods,
            access: RouteAccess::Ladder,
            credentials: None,
            websocket: false,
            cost: 1,
            oddities: Oddities::default(),
        }
    }
}

/// What a method of a route asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Level {
    /// Nothing: nobody has to say who they are, and whoever does is not heard.
    Public,
    /// This access to the route's resource.
    Needs(Access),
}

/// The access that a route's methods need.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteAccess {
    /// What the ladder says.
    Ladder,
    /// The same for every method.
    Every(Level),
    /// By method; a method that is left out needs what the ladder says.
    PerMethod(Vec<(Method, Level)>),
}

/// What becomes of a path that no route lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[non_exhaustive]
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
#[non_exhaustive]
pub enum Paths {
    /// To the letter.
    Exact,
    /// With and without regard to case, and to one slash at the end: a server behind us may do either, and what each
    /// reading asks for holds.
    Lenient,
}

/// The access that a method which a route lists needs where nothing else is said. `None` for a method that nobody knows
/// the meaning of.
fn listed(method: &Method) -> Option<Access> {
    match *method {
        Method::PUT => Some(Access::Write),
        _ => ladder(method),
    }
}

/// The ladder of methods. `None` for one that is not on it.
fn ladder(method: &Method) -> Option<Access> {
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS => Some(Access::Read),
        Method::POST | Method::PATCH => Some(Access::Write),
        Method::DELETE => Some(Access::Admin),
        _ => None,
    }
}

/// One of four, by what the ladder says of a method; the last for one that is not on it.
fn by_ladder<'a>([read, write, admin, unknown]: &'a [Arc<Need>; 4], method: &Method) -> &'a Arc<Need> {
    match ladder(method) {
        Some(Access::Read) => read,
        Some(Access::Write) => write,
        Some(Access::Admin) => admin,
        None => unknown,
    }
}

const LADDER_METHODS: &str = "GET, HEAD, OPTIONS, POST, PATCH, DELETE";

/// Why a table of routes could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route `{path}`: {why}")]
pub struct RouteError {
    /// The route's place in the list.
    pub at: usize,
    /// Its path as it was given.
    pub path: String,
    /// What is wrong, and what to write instead.
    pub why: String,
}

/// The paths of an API.
pub struct RouteTable {
    routes: Vec<Compiled>,
    /// The patterns as they are.
    exact: Router,
    /// What else a server behind us may compare; `None` where paths are exact.
    lenient: Option<Lenient>,
    unlisted: Unlisted,
    oddities: Oddities,
    /// The needs of paths that no route lists, by what the ladder says of the method.
    off_list: [Arc<Need>; 4],
}

type Router = matchit::Router<Vec<usize>>;

/// The patterns as they are compared by whoever does not mind the slash, the case, or either.
struct Lenient {
    slashless: Router,
    folded: Router,
    folded_slashless: Router,
    /// Whether any pattern is changed by folding, or by losing its slash. Where none is, a path that is not either
    /// needs no second look.
    has_case: bool,
    has_slash: bool,
}

/// A route with everything that is the same for each request worked out.
struct Compiled {
    route: Route,
    /// The needs of the methods it has.
    declared: Vec<(Method, Arc<Need>)>,
    /// The needs of those it does not have, by what the ladder says of them; last for those it does not have either.
    undeclared: [Arc<Need>; 4],
}

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|compiled| &compiled.route.path)).finish()
    }
}

impl RouteTable {
    /// Compiles `routes`. `unlisted` is what becomes of other paths; where it is not said, they are 404 as soon as
    /// there is any route. `oddities` are taken in every path.
    ///
    /// # Errors
    /// If a pattern is malformed, two of them take the same paths, or a method's access is not known.
    pub fn new(
        routes: Vec<Route>,
        paths: Paths,
        unlisted: Option<Unlisted>,
        oddities: Oddities,
    ) -> Result<Self, RouteError> {
        let default = if routes.is_empty() { Unlisted::Ladder } else { Unlisted::NotFound };
        let mut compiled = Vec::with_capacity(routes.len());
        for (at, route) in routes.into_iter().enumerate() {
            let path = route.path.clone();
            compiled.push(Compiled::new(route).map_err(|why| RouteError { at, path, why })?);
        }
        let lenient = paths == Paths::Lenient;
        let patterns = |change: &dyn Fn(&str) -> String| Patterns::of(&compiled, lenient, change);
        let exact = patterns(&|path| pattern::with_literals(path, str::to_owned))
            .apart(&compiled)?
            .router(&compiled)?;
        let lenient = if lenient {
            let fold = |path: &str| pattern::with_literals(path, |text| pattern::fold(text).into_owned());
            let slashless = |path: String| pattern::without_slash(&path).to_owned();
            Some(Lenient {
                slashless: patterns(&|path| slashless(pattern::with_literals(path, str::to_owned)))
                    .router(&compiled)?,
                folded: patterns(&fold).router(&compiled)?,
                folded_slashless: patterns(&|path| slashless(fold(path))).router(&compiled)?,
                has_case: compiled.iter().any(|compiled| pattern::has_case(&compiled.route.path)),
                has_slash: compiled
                    .iter()
                    .any(|compiled| pattern::without_slash(&compiled.route.path) != compiled.route.path),
            })
        } else {
            None
        };
        let off_list = |access| Arc::new(Need::for_demand(None, access));
        let unknown = Need { not_among: Some(LADDER_METHODS.into()), ..Need::for_demand(None, Access::Read) };
        Ok(Self {
            routes: compiled,
            exact,
            lenient,
            unlisted: unlisted.unwrap_or(default),
            oddities,
            off_list: [
                off_list(Access::Read),
                off_list(Access::Write),
                off_list(Access::Admin),
                Arc::new(unknown),
            ],
        })
    }

    /// The configured routes.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().map(|compiled| &compiled.route)
    }

    /// What becomes of paths that no route lists.
    pub fn paths(&self) -> Paths {
        if self.lenient.is_some() { Paths::Lenient } else { Paths::Exact }
    }

    /// What becomes of a path that none of them lists.
    pub fn unlisted(&self) -> Unlisted {
        self.unlisted
    }

    /// What a request with this method and target needs.
    ///
    /// # Errors
    /// 404 for a path that is not listed where the API says so, 405 for `CONNECT` and `TRACE`, 400 for something odd
    /// in the path that was not asked for.
    pub fn need(&self, method: &Method, target: &Target<'_>) -> Result<Arc<Need>, Reason> {
        if matches!(*method, Method::CONNECT | Method::TRACE) {
            return Err(Reason::MethodNotAllowed { allow: LADDER_METHODS.into() });
        }
        let mut found = Matches::default();
        readings::each(target, self.lenient.is_some(), |reading| self.read(&reading, &mut found));
        self.check_oddities(target.oddities(), &found)?;
        let unlisted = match (found.is_listed, self.unlisted) {
            (true, _) => None,
            (false, Unlisted::Ladder) => Some(self.off_list(method)),
            (false, Unlisted::NotFound) => return Err(Reason::NoSuchRoute),
        };
        let routes = found.routes.iter().filter_map(|at| self.routes.get(*at));
        let mut needs = unlisted.into_iter().chain(routes.map(|compiled| compiled.need(method)));
        let Some(first) = needs.next() else { return Err(Reason::NoSuchRoute) };
        Ok(match needs.next() {
            None => first.clone(),
            Some(second) => {
                Arc::new(needs.fold(Need::clone(first).strictest(second), |all, one| all.strictest(one)))
            }
        })
    }

    fn off_list(&self, method: &Method) -> &Arc<Need> {
        by_ladder(&self.off_list, method)
    }

    /// What is odd in a path has to be asked for by the API, or by each route that the path may be read as.
    fn check_oddities(&self, odd: Oddities, found: &Matches) -> Result<(), Reason> {
        if odd == Oddities::default() {
            return Ok(());
        }
        let routes =
            found.routes.iter().filter_map(|at| self.routes.get(*at)).map(|found| found.route.oddities);
        let by_routes = if found.is_listed {
            routes.reduce(Oddities::both).unwrap_or_default()
        } else {
            Oddities::default()
        };
        let allowed = self.oddities.either(by_routes);
        if odd.within(allowed) { Ok(()) } else { Err(odd.refused_beyond(allowed)) }
    }

    /// Adds the routes that a reading of the path may stand for.
    fn read(&self, reading: &Reading<'_>, found: &mut Matches) {
        let path: &str = &reading.path;
        found.add(&self.exact, path, reading.lists);
        let Some(lenient) = &self.lenient else { return };
        let slashless = pattern::without_slash(path);
        let has_slash = lenient.has_slash || slashless.len() != path.len();
        if has_slash {
            found.add(&lenient.slashless, slashless, reading.lists);
        }
        let folded = pattern::fold(path);
        if lenient.has_case || folded != path {
            found.add(&lenient.folded, &folded, reading.lists);
            if has_slash {
                found.add(&lenient.folded_slashless, pattern::without_slash(&folded), reading.lists);
            }
        }
    }
}

/// The routes that a path may be read as.
#[derive(Default)]
struct Matches {
    routes: smallvec::SmallVec<[usize; 4]>,
    /// Whether a reading that lists a path found one of them.
    is_listed: bool,
}

impl Matches {
    fn add(&mut self, router: &Router, path: &str, lists: bool) {
        let Ok(found) = router.at(path) else { return };
        self.is_listed |= lists;
        for at in found.value {
            if !self.routes.contains(at) {
                self.routes.push(*at);
            }
        }
    }
}

/// Patterns in one spelling, and the routes that each is of.
struct Patterns(Vec<(String, Vec<usize>)>);

impl Patterns {
    fn of(compiled: &[Compiled], lenient: bool, change: &dyn Fn(&str) -> String) -> Self {
        let mut patterns = Self(Vec::new());
        for (at, compiled) in compiled.iter().enumerate() {
            patterns.add(change(&compiled.route.path), at);
        }
        // What takes everything below a path takes the path itself, unless that is listed: otherwise `/manage/`
        // would need less than `/manage/{*rest}`.
        let mut above = Self(Vec::new());
        for (at, compiled) in compiled.iter().enumerate() {
            let Some(parent) = pattern::above_catch_all(&compiled.route.path) else { continue };
            let bare = Some(pattern::without_slash(parent)).filter(|bare| lenient && *bare != parent);
            for parent in [Some(parent), bare].into_iter().flatten().map(change) {
                if patterns.0.iter().all(|(other, _)| *other != parent) {
                    above.add(parent, at);
                }
            }
        }
        patterns.0.append(&mut above.0);
        patterns
    }

    fn add(&mut self, pattern: String, at: usize) {
        match self.0.iter_mut().find(|(other, _)| *other == pattern) {
            Some((_, routes)) => routes.push(at),
            None => self.0.push((pattern, vec![at])),
        }
    }

    /// Refuses two routes that take the same paths to the letter.
    fn apart(self, compiled: &[Compiled]) -> Result<Self, RouteError> {
        for (_, routes) in &self.0 {
            let mut listed = routes.iter().filter_map(|at| Some((*at, &compiled.get(*at)?.route.path)));
            if let (Some((_, first)), Some((at, second))) = (listed.next(), listed.next()) {
                // Two catch-alls that differ in case have one path above them each.
                let why = format!("it takes the same paths as `{first}`");
                return Err(RouteError { at, path: second.clone(), why });
            }
        }
        Ok(self)
    }

    fn router(self, compiled: &[Compiled]) -> Result<Router, RouteError> {
        let mut router = Router::new();
        for (pattern, routes) in &self.0 {
            let at = routes.first().copied().unwrap_or_default();
            router.insert(pattern, routes.clone()).map_err(|error| {
                let path_of = |at: usize| compiled.get(at).map(|compiled| compiled.route.path.clone());
                let with = match &error {
                    matchit::InsertError::Conflict { with } => self.0.iter().find(|(other, _)| other == with),
                    _ => None,
                };
                let why = match with.and_then(|(_, routes)| path_of(*routes.first()?)) {
                    Some(other) => format!("it clashes with `{other}`: a parameter, and everything below, cannot begin in one place"),
                    None => error.to_string(),
                };
                RouteError { at, path: path_of(at).unwrap_or_default(), why }
            })?;
        }
        Ok(router)
    }
}

impl Compiled {
    fn new(route: Route) -> Result<Self, String> {
        pattern::check(&route.path)?;
        if route.methods.is_empty() {
            return Err("it has no methods, so nothing could reach it".into());
        }
        if let RouteAccess::PerMethod(levels) = &route.access
            && let Some((method, _)) = levels.iter().find(|(method, _)| !has(&route.methods, method))
        {
            return Err(format!("it says an access for `{method}`, which is not among its methods"));
        }
        let mut levels: Vec<(Method, Level)> = Vec::new();
        for method in &route.methods {
            if matches!(*method, Method::CONNECT | Method::TRACE) {
                return Err(format!("`{method}` is never passed on"));
            }
            if levels.iter().any(|(other, _)| other == method) {
                return Err(format!("`{method}` is there twice"));
            }
            levels.push((method.clone(), level(&route, method)?));
        }
        for method in [Method::HEAD, Method::OPTIONS] {
            if has(&route.methods, &method) && !route.methods.contains(&method) {
                levels.push((method.clone(), level(&route, &method)?));
            }
        }
        let demand = |access| vec![Demand { resource: Some(route.resource.clone()), access }];
        let need = |demands, not_among| {
            let (credentials, websocket, cost) = (route.credentials, route.websocket, route.cost);
            Arc::new(Need { demands, credentials, not_among, websocket, cost })
        };
        let allow: Arc<str> =
            levels.iter().map(|(method, _)| method.as_str()).collect::<Vec<_>>().join(", ").into();
        // Who may not come near a route by any of its methods is not told which it has.
        let nearest = levels.iter().map(|(_, level)| level.access()).min().flatten();
        // A method that is not on the ladder, and which the route does not have, ends in 405 for everybody who is known
        // here: it needs the least there is.
        let near = |ladder: Access| nearest.map_or(ladder, |nearest| nearest.max(ladder));
        let undeclared = |access| need(demand(access), Some(allow.clone()));
        Ok(Self {
            declared: levels
                .iter()
                .map(|(method, level)| {
                    (method.clone(), need(level.access().map(demand).unwrap_or_default(), None))
                })
                .collect(),
            undeclared: [
                undeclared(near(Access::Read)),
                undeclared(near(Access::Write)),
                undeclared(near(Access::Admin)),
                undeclared(Access::Read),
            ],
            route,
        })
    }

    fn need(&self, method: &Method) -> &Arc<Need> {
        if let Some((_, need)) = self.declared.iter().find(|(own, _)| own == method) {
            return need;
        }
        by_ladder(&self.undeclared, method)
    }
}

impl Level {
    fn access(self) -> Option<Access> {
        match self {
            Self::Public => None,
            Self::Needs(access) => Some(access),
        }
    }
}

/// Whether a route with these methods has `method`.
fn has(methods: &[Method], method: &Method) -> bool {
    let by_get = matches!(*method, Method::HEAD | Method::OPTIONS) && methods.contains(&Method::GET);
    by_get || methods.contains(method)
}

/// What a method that the route has asks for.
fn level(route: &Route, method: &Method) -> Result<Level, String> {
    let said = match &route.access {
        RouteAccess::Ladder if route.websocket => return Ok(Level::Needs(Access::Admin)),
        RouteAccess::Ladder => None,
        RouteAccess::Every(level) => return Ok(*level),
        RouteAccess::PerMethod(levels) => {
            let of = |wanted: &Method| levels.iter().find(|(own, _)| own == wanted).map(|(_, level)| *level);
            let by_get = || if has(&[Method::GET], method) { of(&Method::GET) } else { None };
            of(method).or_else(by_get)
        }
    };
    said.or_else(|| listed(method).map(Level::Needs))
        .ok_or_else(|| format!("say what access `{method}` needs: it is none of {LADDER_METHODS}, PUT"))
}

#[cfg(test)]
mod tests;
