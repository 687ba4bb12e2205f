//! Who asks for an operation, what they may do and how far they reach.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use claviger::id::{AccountId, ApiName, OrgId, RealmName, RoleName, SessionId, TenantId};
use claviger::network::Client;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::failure::{Failure, FailureKind};

/// What an operator may do; each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at everything that is no secret.
    Reader,
    /// Change and end what tenants have, but make no credential.
    Support,
    /// Everything: make credentials in others' names, end tenants, make operators.
    Owner,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Reader, Self::Support, Self::Owner];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Support => "support",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| "the roles of operators are reader, support and owner".to_owned())
    }
}

/// What somebody is who asks as a person; each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PersonRole {
    /// Nobody knows.
    Stranger,
    /// A member of an organization.
    Member,
    /// Somebody whose role allows everything in their organization.
    Admin,
    /// Such a one, whose the tenant is.
    TenantOwner,
}

impl PersonRole {
    /// Whom something is for that takes this.
    pub(crate) fn whom(self) -> &'static str {
        match self {
            Self::Stranger => "anybody",
            Self::Member => "whoever is signed in",
            Self::Admin => "whoever may do everything in the organization",
            Self::TenantOwner => "the tenant's owner",
        }
    }
}

/// A person who is signed in at the console, in one organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who it is.
    pub account: AccountId,
    /// Their tenant.
    pub tenant: TenantId,
    /// The organization that they act in.
    pub org: OrgId,
    /// Their session.
    pub session: SessionId,
    /// The API by whose roles they act.
    pub api: ApiName,
    /// Their role.
    pub role: RoleName,
    /// Whether that allows everything.
    pub may_do_everything: bool,
    /// Whether the tenant is theirs.
    pub owns_the_tenant: bool,
}

impl Person {
    /// What they are.
    pub fn standing(&self) -> PersonRole {
        match (self.may_do_everything, self.owns_the_tenant) {
            (true, true) => PersonRole::TenantOwner,
            (true, false) => PersonRole::Admin,
            (false, _) => PersonRole::Member,
        }
    }
}

/// What somebody is who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// One of those who operate this server.
    Operator(Role),
    /// A person.
    Person(Box<Person>),
    /// Nobody so far.
    Stranger,
}

/// How far an operator reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Everything.
    Everything,
    /// What belongs to these realms.
    Realms(BTreeSet<RealmName>),
    /// What belongs to these tenants.
    Tenants(BTreeSet<TenantId>),
}

impl Reach {
    /// Whether all that `other` reaches is within this. Tenants within a realm are for the caller to look up.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Everything, _) => true,
            (Self::Realms(ours), Self::Realms(theirs)) => theirs.is_subset(ours),
            (Self::Tenants(ours), Self::Tenants(theirs)) => theirs.is_subset(ours),
            _ => false,
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Their name, as the audit has it.
    pub name: String,
    /// What they are, and so may do.
    pub standing: Standing,
    /// How far they reach.
    pub reach: Reach,
    /// From where, if it is over a network.
    pub address: Option<IpAddr>,
    /// The public id of their credential, if they showed one.
    pub credential: Option<String>,
}

impl Caller {
    /// Whoever runs this process, and so may open the store itself.
    pub fn at_home() -> Self {
        Self::system_user(rustix::process::geteuid().as_raw())
    }

    /// A user of this machine: an owner who reaches everything, as they could open the store as well.
    fn system_user(uid: u32) -> Self {
        let name = if uid == 0 { "root".to_owned() } else { format!("uid-{uid}") };
        let standing = Standing::Operator(Role::Owner);
        Self { name, standing, reach: Reach::Everything, address: None, credential: None }
    }

    /// Who is at the other end of a socket of this machine, as the kernel says (`SO_PEERCRED`).
    ///
    /// # Errors
    /// If it is neither root nor the user whose server this is.
    pub fn on_this_machine(uid: u32) -> Result<Self, Failure> {
        if uid == 0 || uid == rustix::process::geteuid().as_raw() {
            return Ok(Self::system_user(uid));
        }
        let what =
            "this is taken from root, from the user whose server this is, and from those who are operators";
        Err(Failure::of(FailureKind::Forbidden, what).hint(
            "`console.system_users` in the settings says who is; or ask with `--server` as an operator with a token",
        ))
    }

    /// Whether they may do what takes `least`.
    ///
    /// # Errors
    /// Saying which role it takes.
    pub(crate) fn may(&self, least: Role) -> Result<(), Failure> {
        match self.standing {
            Standing::Operator(role) if role >= least => Ok(()),
            Standing::Operator(role) => {
                let what = format!("this takes the role `{least}`, and `{}` is `{role}`", self.name);
                Err(Failure::of(FailureKind::Forbidden, what)
                    .hint("an owner can do it, or make an operator who may"))
            }
            Standing::Person(_) => {
                Err(Failure::of(FailureKind::Forbidden, "this is for those who operate this server"))
            }
            Standing::Stranger => Err(Failure::of(FailureKind::Unauthenticated, "nobody is known who asks")),
        }
    }

    /// Somebody of whom nothing is known.
    pub(crate) fn stranger(address: Option<IpAddr>) -> Self {
        let reach = Reach::Tenants(BTreeSet::new());
        Self { name: "stranger".to_owned(), standing: Standing::Stranger, reach, address, credential: None }
    }

    /// Whether it is one of those who operate this server.
    pub(crate) fn is_operator(&self) -> bool {
        matches!(self.standing, Standing::Operator(_))
    }

    /// Where they are, for what is counted by that. Without an address they are on this machine.
    pub(crate) fn client(&self) -> Client {
        Client::At(self.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)))
    }

    /// The person, if it is one.
    pub(crate) fn person(&self) -> Option<&Person> {
        match &self.standing {
            Standing::Person(person) => Some(person),
            Standing::Operator(_) | Standing::Stranger => None,
        }
    }

    /// The organization whose things alone they see and change, if they are bound to one.
    pub(crate) fn bound_to(&self) -> Option<OrgId> {
        self.person().filter(|person| person.standing() < PersonRole::TenantOwner).map(|person| person.org)
    }

    /// Whether they reach this organization, of a tenant that they reach.
    pub(crate) fn reaches_org(&self, org: OrgId) -> bool {
        self.bound_to().is_none_or(|bound| bound == org)
    }

    /// Whether they reach everything, as what belongs to no realm asks for.
    ///
    /// # Errors
    /// If they are bound.
    pub(crate) fn reaches_everything(&self) -> Result<(), Failure> {
        match self.reach {
            Reach::Everything => Ok(()),
            Reach::Realms(_) | Reach::Tenants(_) => Err(self.bound("this belongs to no realm")),
        }
    }

    /// Whether they reach all of a realm.
    ///
    /// # Errors
    /// If they are bound to others, or to single tenants.
    pub(crate) fn reaches_realm(&self, realm: &RealmName) -> Result<(), Failure> {
        match &self.reach {
            Reach::Everything => Ok(()),
            Reach::Realms(realms) if realms.contains(realm) => Ok(()),
            Reach::Realms(_) | Reach::Tenants(_) => {
                Err(self.bound("this is of another realm, or of a whole one"))
            }
        }
    }

    fn bound(&self, why: &str) -> Failure {
        let what = format!("{why}, and `{}` is bound to others", self.name);
        Failure::of(FailureKind::Forbidden, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_for_root_and_the_servers_own_user() {
        let own = rustix::process::geteuid().as_raw();
        assert_eq!(Caller::on_this_machine(own), Ok(Caller::at_home()));
        assert_eq!(Caller::on_this_machine(0).map(|caller| caller.name), Ok("root".to_owned()));
        let other = Caller::on_this_machine(own.wrapping_add(4711));
        assert_eq!(other.map_err(|failure| failure.kind), Err(FailureKind::Forbidden));
    }
}
