//! Which of an API's paths Claviger answers itself.

use std::collections::BTreeMap;

use claviger::id::Resource;
use claviger::route::{Paths, RouteTable};
use http::Method;
use matchit::Router;

use crate::config::Service;

/// A route as far as it is found here: its methods, and what is served there, if anything is.
#[derive(Debug, Clone)]
struct Found {
    methods: Vec<Method>,
    served: Option<(Service, Resource)>,
}

impl Found {
    /// As routes have it: `GET` brings `HEAD` and `OPTIONS` with it.
    fn has(&self, method: &Method) -> bool {
        let by_get = matches!(*method, Method::HEAD | Method::OPTIONS);
        self.methods.iter().any(|own| own == method || by_get && own == Method::GET)
    }
}

/// An API's own paths that Claviger answers in its place.
#[derive(Debug, Clone, Default)]
pub struct Services {
    /// All of the API's routes, so that one that is the upstream's is not taken for another one's parameter. None if nothing is served.
    router: Option<Router<Vec<Found>>>,
    is_lenient: bool,
}

/// What is served at a path: what it is, what it is about, and which one the path names.
pub(super) type At = (Service, Resource, Option<String>);

impl Services {
    /// These, which the settings have found good, among all routes of their API.
    ///
    /// # Errors
    /// If two patterns cannot be told from each other.
    pub fn new(routes: &RouteTable, services: &[(String, Service)]) -> Result<Self, matchit::InsertError> {
        if services.is_empty() {
            return Ok(Self::default());
        }
        let mut patterns: BTreeMap<&str, Vec<Found>> = BTreeMap::new();
        for route in routes.routes() {
            let service = services.iter().find(|(path, service)| {
                *path == route.path
                    && route.methods.iter().all(|own| service.methods().contains(&own.as_str()))
            });
            let served = service.map(|(_, service)| (*service, route.resource.clone()));
            patterns.entry(&route.path).or_default().push(Found { methods: route.methods.clone(), served });
        }
        let mut router = Router::new();
        for (pattern, found) in patterns {
            router.insert(pattern, found)?;
        }
        Ok(Self { router: Some(router), is_lenient: routes.paths() == Paths::Lenient })
    }

    /// What is served at a path. Where paths are compared leniently, a slash at its end is none; other case is the upstream's, whatever
    /// that makes of it. However a path is read, it was let in by what the route asks for that is found here.
    pub(super) fn at(&self, path: &str, method: &Method) -> Option<At> {
        let router = self.router.as_ref()?;
        let slashless = path.strip_suffix('/').filter(|_| self.is_lenient);
        let found = router.at(path).ok().or_else(|| router.at(slashless?).ok())?;
        let (service, resource) = found.value.iter().find(|found| found.has(method))?.served.as_ref()?;
        let id = found.params.iter().next().map(|(_, value)| value.to_owned());
        Some((*service, resource.clone(), id))
    }
}

#[cfg(test)]
mod tests {
    use claviger::route::{Route, Unlisted};
    use claviger::target::Oddities;

    use super::*;

    fn services(paths: Paths) -> Services {
        let route =
            |path: &str, methods: &[Method]| Route::new(path, "members".parse().unwrap(), methods.to_vec());
        let routes = vec![
            route("/members", &[Method::GET, Method::POST]),
            route("/members/{uid}", &[Method::PATCH, Method::DELETE]),
            route("/members/me", &[Method::PATCH]),
        ];
        let table = RouteTable::new(routes, paths, Some(Unlisted::NotFound), Oddities::default()).unwrap();
        let services = [("/members", Service::Members), ("/members/{uid}", Service::Member)];
        Services::new(&table, &services.map(|(path, service)| (path.to_owned(), service))).unwrap()
    }

    #[test]
    fn what_is_served_is_found_by_its_path_and_nothing_else() {
        let services = services(Paths::Lenient);
        let at =
            |path: &str, method: &Method| services.at(path, method).map(|(service, _, id)| (service, id));
        for path in ["/members", "/members/"] {
            for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST] {
                assert_eq!(at(path, &method), Some((Service::Members, None)), "{method} {path}");
            }
        }
        for path in ["/members/7", "/members/7/"] {
            assert_eq!(at(path, &Method::PATCH), Some((Service::Member, Some("7".to_owned()))));
        }
        // What is listed beside it is the upstream's, and so is every other method and path.
        assert_eq!(at("/members/me", &Method::PATCH), None);
        assert_eq!(at("/members/7", &Method::GET), None);
        for other in ["/MEMBERS", "/members/7/8", "/members//", "/"] {
            assert_eq!(at(other, &Method::GET), None, "{other}");
        }
        assert_eq!(Services::default().at("/members", &Method::GET), None);
    }

    #[test]
    fn where_paths_are_exact_a_slash_makes_another_one() {
        let services = services(Paths::Exact);
        assert!(services.at("/members", &Method::POST).is_some());
        assert_eq!(services.at("/members/", &Method::POST), None);
        assert_eq!(services.at("/members/7/", &Method::PATCH), None);
    }
}
