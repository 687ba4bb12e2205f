//! What a credential or a role allows: resource → access.

use std::fmt;
use std::str::FromStr;

use crate::id::Resource;

/// How far a request reaches into a resource: each step includes the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Look.
    Read,
    /// Look, create and change.
    Write,
    /// Look, create, change, delete and manage.
    Admin,
}

impl Access {
    /// `read`, `write` or `admin`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Access {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            "admin" => Ok(Self::Admin),
            _ => Err("an access must be `read`, `write` or `admin`".into()),
        }
    }
}

/// What is allowed, by resource. Nothing that is not in it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// The access to every resource, those no route has named included. `None` allows nothing by itself.
    all: Option<Access>,
    /// The access to single resources, sorted by name, each once.
    single: Box<[(Resource, Access)]>,
}

impl Grants {
    /// Allows nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// The bundle `read`, `write` or `admin`: that access to every resource.
    pub fn bundle(access: Access) -> Self {
        Self { all: Some(access), single: Box::default() }
    }

    /// From pairs of resource and access; of two for one resource the higher holds.
    pub fn of(all: Option<Access>, pairs: impl IntoIterator<Item = (Resource, Access)>) -> Self {
        let mut single: Vec<(Resource, Access)> = pairs.into_iter().collect();
        single.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        single.dedup_by(|later, kept| later.0 == kept.0);
        Self { all, single: single.into() }
    }

    /// The access to `resource`; `None` is a path that no route names, which only a bundle reaches.
    pub fn access_to(&self, resource: Option<&Resource>) -> Option<Access> {
        let single = resource.and_then(|resource| {
            let at = self.single.binary_search_by(|(name, _)| name.cmp(resource)).ok()?;
            self.single.get(at).map(|(_, access)| *access)
        });
        self.all.max(single)
    }

    /// Whether `access` to `resource` is allowed.
    pub fn allow(&self, resource: Option<&Resource>, access: Access) -> bool {
        self.access_to(resource).is_some_and(|allowed| allowed >= access)
    }

    /// What both allow: a credential's claim never adds to what its owner may do, nor the other way round.
    #[must_use]
    pub fn intersect(&self, other: &Grants) -> Grants {
        let all = self.all.min(other.all);
        let names = self.single.iter().chain(other.single.iter()).map(|(name, _)| name);
        let pairs = names.filter_map(|name| {
            let access = self.access_to(Some(name)).min(other.access_to(Some(name)))?;
            Some((name.clone(), access))
        });
        Self::of(all, pairs.collect::<Vec<_>>())
    }

    /// Whether everything allowed here is allowed by `other` too.
    pub fn within(&self, other: &Grants) -> bool {
        self.all <= other.all
            && self.single.iter().all(|(name, access)| other.allow(Some(name), *access))
            // A bundle reaches every resource, so a lower single grant of the other side does not narrow it.
            && other.single.iter().all(|(name, _)| self.access_to(Some(name)) <= other.access_to(Some(name)))
    }

    /// The access that limits by access are chosen by: the highest of all.
    pub fn highest(&self) -> Option<Access> {
        self.single.iter().map(|(_, access)| *access).max().max(self.all)
    }

    /// The bundle part: access to every resource.
    pub fn all(&self) -> Option<Access> {
        self.all
    }

    /// The grants on single resources, sorted by name.
    pub fn single(&self) -> &[(Resource, Access)] {
        &self.single
    }
}

/// One text for the whole: `read`, or `leads:write orders:read`, or both parts.
impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(all) = self.all {
            write!(f, "{all}")?;
            separator = " ";
        }
        for (resource, access) in &self.single {
            write!(f, "{separator}{resource}:{access}")?;
            separator = " ";
        }
        Ok(())
    }
}

impl FromStr for Grants {
    type Err = String;

    /// Reads what [`Display`](fmt::Display) writes. The empty text allows nothing.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = None;
        let mut pairs = Vec::new();
        for word in text.split_ascii_whitespace() {
            match word.split_once(':') {
                Some((resource, access)) => {
                    let resource: Resource = resource.parse().map_err(|e| format!("`{word}`: {e}"))?;
                    pairs.push((resource, access.parse().map_err(|e| format!("`{word}`: {e}"))?));
                }
                None => all = all.max(Some(word.parse::<Access>().map_err(|e| format!("`{word}`: {e}"))?)),
            }
        }
        Ok(Self::of(all, pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(text: &str) -> Grants {
        text.parse().unwrap()
    }

    #[test]
    fn empty_grants_allow_nothing() {
        let orders: Resource = "orders".parse().unwrap();
        assert!(!Grants::none().allow(Some(&orders), Access::Read));
        assert!(!Grants::none().allow(None, Access::Read));
    }

    #[test]
    fn a_path_no_route_names_is_reached_by_a_bundle_only() {
        assert!(grants("read").allow(None, Access::Read));
        assert!(!grants("orders:admin").allow(None, Access::Read));
    }

    #[test]
    fn the_intersection_is_within_both() {
        for (a, b, both) in [
            ("admin", "read", "read"),
            ("read orders:write", "orders:admin", "orders:write"),
            ("write", "orders:read", "orders:read"),
            ("orders:read", "leads:read", ""),
        ] {
            let found = grants(a).intersect(&grants(b));
            assert_eq!(found.to_string(), both, "{a} and {b}");
            assert!(found.within(&grants(a)) && found.within(&grants(b)));
        }
    }

    #[test]
    fn within_compares_every_resource() {
        assert!(grants("read").within(&grants("write")));
        assert!(!grants("write").within(&grants("read orders:admin")));
        assert!(grants("orders:read").within(&grants("read")));
        assert!(!grants("orders:admin").within(&grants("write")));
    }
}
