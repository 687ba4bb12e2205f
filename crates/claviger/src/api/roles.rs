//! The roles an API knows.

use std::sync::Arc;

use crate::grants::Grants;
use crate::id::RoleName;

/// The roles an API knows and what each allows. A role that is not among them allows nothing.
#[derive(Debug, Clone, Default)]
pub struct Roles(Vec<(RoleName, Arc<Grants>)>);

/// Two roles of one name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("role `{name}` is there twice, as roles compare without case")]
pub struct TwoRoles {
    /// The name of the second.
    pub name: RoleName,
}

impl Roles {
    /// From names and what they allow.
    ///
    /// # Errors
    /// If two names differ by case alone, as roles are compared without it.
    pub fn new(roles: Vec<(RoleName, Grants)>) -> Result<Self, TwoRoles> {
        let mut all: Vec<(RoleName, Arc<Grants>)> = Vec::with_capacity(roles.len());
        for (name, grants) in roles {
            if all.iter().any(|(other, _)| other.matches(name.as_str())) {
                return Err(TwoRoles { name });
            }
            all.push((name, Arc::new(grants)));
        }
        Ok(Self(all))
    }

    /// What the role called `name` by any case allows; `None` if there is no such role.
    pub fn grants(&self, name: &str) -> Option<&Arc<Grants>> {
        self.0.iter().find(|(role, _)| role.matches(name)).map(|(_, grants)| grants)
    }

    /// Names and grants, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = (&RoleName, &Grants)> {
        self.0.iter().map(|(name, grants)| (name, &**grants))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_found_without_case_and_are_there_once() {
        let role = |name: &str, grants: &str| (name.parse().unwrap(), grants.parse::<Grants>().unwrap());
        let roles = Roles::new(vec![role("ADMIN", "admin"), role("Viewer", "read")]).unwrap();
        assert_eq!(roles.grants("viewer").unwrap().to_string(), "read");
        assert!(roles.grants("owner").is_none());
        let twice = Roles::new(vec![role("ADMIN", "admin"), role("x", "read"), role("admin", "read")]);
        assert_eq!(twice.unwrap_err().name.as_str(), "admin");
    }
}
