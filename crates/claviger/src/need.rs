//! What a request needs to be let in.

use std::sync::Arc;

use crate::credential::Kinds;
use crate::grants::Access;
use crate::id::Resource;

/// Access to one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// On what; `None` for a path that no route lists, which takes a bundle.
    pub resource: Option<Resource>,
    /// How far.
    pub access: Access,
}

/// What a request needs to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Each about a resource of its own. Empty for what is public, and for nothing else.
    pub(crate) demands: Vec<Demand>,
    pub(crate) credentials: Option<Kinds>,
    /// The methods the path has, if the request's is not among them.
    pub(crate) not_among: Option<Arc<str>>,
    pub(crate) websocket: bool,
    pub(crate) cost: u32,
}

impl Need {
    /// A need for one thing, without a route behind it: for embedders whose own router says what is needed.
    pub fn of(resource: Resource, access: Access) -> Self {
        Self::for_demand(Some(resource), access)
    }

    pub(crate) fn for_demand(resource: Option<Resource>, access: Access) -> Self {
        let demands = vec![Demand { resource, access }];
        Self { demands, credentials: None, not_among: None, websocket: false, cost: 1 }
    }

    /// The same, which takes so much of limits.
    #[must_use]
    pub fn costing(self, cost: u32) -> Self {
        Self { cost, ..self }
    }

    /// Whether nobody has to say who they are.
    pub fn is_public(&self) -> bool {
        self.demands.is_empty()
    }

    /// Everything that must be granted.
    pub fn demands(&self) -> &[Demand] {
        &self.demands
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

    /// What satisfies both readings of a path. Only what is public in both is public.
    #[must_use]
    pub(crate) fn strictest(mut self, other: &Need) -> Need {
        for demand in &other.demands {
            match self.demands.iter_mut().find(|own| own.resource == demand.resource) {
                Some(own) => own.access = own.access.max(demand.access),
                None => self.demands.push(demand.clone()),
            }
        }
        Need {
            demands: self.demands,
            credentials: match (self.credentials, other.credentials) {
                (Some(a), Some(b)) => Some(a.both(b)),
                (a, b) => a.or(b),
            },
            not_among: self.not_among.or_else(|| other.not_among.clone()),
            websocket: self.websocket && other.websocket,
            cost: self.cost.max(other.cost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::CredentialKind;

    fn need(resource: &str, access: Access) -> Need {
        Need::of(resource.parse().unwrap(), access)
    }

    #[test]
    fn of_two_needs_everything_holds() {
        let keys: Kinds = [CredentialKind::ApiKey, CredentialKind::UserToken].into_iter().collect();
        let tokens: Kinds = [CredentialKind::UserToken].into_iter().collect();
        let first = Need { credentials: Some(keys), websocket: true, cost: 3, ..need("a", Access::Read) };
        let second = Need {
            credentials: Some(tokens),
            websocket: true,
            not_among: Some("GET".into()),
            ..need("b", Access::Admin)
        };
        let both = first.clone().strictest(&second);
        assert_eq!(both.demands, [first.demands.clone(), second.demands.clone()].concat());
        assert_eq!((both.credentials, both.cost, both.websocket), (Some(tokens), 3, true));
        assert_eq!(both.not_among(), Some("GET"));
        assert_eq!(second.clone().strictest(&first).not_among(), Some("GET"));

        let open = need("c", Access::Write);
        let narrowed = open.clone().strictest(&first);
        assert_eq!((narrowed.credentials, narrowed.websocket), (Some(keys), false));
        assert_eq!(first.clone().strictest(&open).credentials, Some(keys));
        let higher = need("a", Access::Write).strictest(&first);
        assert_eq!(higher.demands, need("a", Access::Write).demands);
        assert_eq!(first.strictest(&need("a", Access::Admin)).demands, need("a", Access::Admin).demands);
    }

    #[test]
    fn only_what_is_public_in_both_readings_is_public() {
        let public = Need { demands: Vec::new(), ..need("a", Access::Read) };
        assert!(public.is_public() && public.clone().strictest(&public).is_public());
        for both in
            [public.clone().strictest(&need("a", Access::Read)), need("a", Access::Read).strictest(&public)]
        {
            assert!(!both.is_public());
            assert_eq!(both.demands, need("a", Access::Read).demands);
        }
    }
}
