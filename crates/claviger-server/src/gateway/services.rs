//! Which of an API's paths Claviger answers itself.

use matchit::Router;

use crate::config::Service;

/// An API's own paths that Claviger answers in its place.
#[derive(Debug, Clone, Default)]
pub struct Services {
    router: Option<Router<Service>>,
}

impl Services {
    /// These, which the settings have found good.
    ///
    /// # Errors
    /// If two of them are one.
    pub fn new(services: &[(String, Service)]) -> Result<Self, matchit::InsertError> {
        if services.is_empty() {
            return Ok(Self::default());
        }
        let mut router = Router::new();
        for (path, service) in services {
            router.insert(path.clone(), *service)?;
        }
        Ok(Self { router: Some(router) })
    }

    /// What is served at a path, with or without a slash at its end, and which one it names. Other case is the upstream's, whatever that
    /// makes of it: it was let in by what this one asks for, too.
    pub(super) fn at(&self, path: &str) -> Option<(Service, Option<String>)> {
        let router = self.router.as_ref()?;
        let found = router.at(path).or_else(|_| router.at(path.strip_suffix('/').unwrap_or(path))).ok()?;
        let id = found.params.iter().next().map(|(_, value)| value.to_owned());
        Some((*found.value, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_is_found_by_its_path_and_nothing_else() {
        let services = [("/members", Service::Members), ("/members/{uid}", Service::Member)];
        let services = services.map(|(path, service)| (path.to_owned(), service));
        let services = Services::new(&services).unwrap();
        assert_eq!(services.at("/members"), Some((Service::Members, None)));
        assert_eq!(services.at("/members/7"), Some((Service::Member, Some("7".to_owned()))));
        assert_eq!(services.at("/members/"), services.at("/members"));
        assert_eq!(services.at("/members/7/"), services.at("/members/7"));
        for other in ["/MEMBERS", "/members/7/8", "/members//", "/"] {
            assert_eq!(services.at(other), None, "{other}");
        }
        assert_eq!(Services::default().at("/members"), None);
    }
}
