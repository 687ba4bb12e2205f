//! Who manages keys from within their tenant, and how far that goes: no further than what they may do themselves, as that is in the
//! transaction that does it (decision 12).

use claviger::clock::UnixMillis;
use claviger::directory::State;
use claviger::grants::Grants;
use claviger::id::{Environment, KeyId, OrgId, TenantId};
use claviger::network::Networks;

use super::key_secrets::networks;
use crate::backend::Tx;
use crate::error::StoreError;
use crate::statement::statements;
use crate::value::values;

/// Why a key is not theirs to manage who ask.
pub const KEY_BEYOND: &str = "the key may do more, from more places or for longer than whoever asks";

statements! { "API key";
    KEY_AUTHORITY: Tenant [Uuid, Uuid]
        "SELECT org_id, environment, grants, networks, state, expires_at FROM api_key WHERE tenant_id = $1 AND key_id = $2";
}

/// Who manages keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyManager {
    /// A key: as far as it goes itself at that moment.
    Key(KeyId),
    /// A person.
    Person {
        /// In which organization; `None` is in all of the tenant.
        org: Option<OrgId>,
        /// On which side of the sandbox; `None` is on both.
        environment: Option<Environment>,
        /// What they may do, at each API that a key of theirs may be good at.
        grants: Vec<Grants>,
    },
}

/// What somebody may do who manages keys.
#[derive(Debug)]
pub(super) struct Authority {
    org: Option<OrgId>,
    environment: Option<Environment>,
    grants: Vec<Grants>,
    networks: Option<Networks>,
    expires_at: Option<UnixMillis>,
}

/// What a key may do, or is to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Power<'k> {
    pub(super) grants: &'k Grants,
    pub(super) networks: Option<&'k Networks>,
    pub(super) expires_at: Option<UnixMillis>,
}

impl Authority {
    /// That of whoever manages, now; `None` if nobody is bound.
    ///
    /// # Errors
    /// If it is a key that may not act any more.
    pub(super) async fn of(
        tx: &mut Tx<'_>,
        tenant: TenantId,
        manager: Option<&KeyManager>,
    ) -> Result<Option<Self>, StoreError> {
        let key = match manager {
            None => return Ok(None),
            Some(KeyManager::Person { org, environment, grants }) => {
                let (org, environment, grants) = (*org, *environment, grants.clone());
                return Ok(Some(Self { org, environment, grants, networks: None, expires_at: None }));
            }
            Some(KeyManager::Key(key)) => key,
        };
        let beyond = StoreError::Refused { why: KEY_BEYOND };
        let row = tx.run_one(&KEY_AUTHORITY, values![tenant, *key]).await?.ok_or_else(|| beyond.clone())?;
        let mut columns = row.read();
        let found = Self {
            org: Some(columns.parse()?),
            environment: Some(columns.parse()?),
            grants: vec![columns.parse()?],
            networks: networks(&mut columns)?,
            expires_at: None,
        };
        let (state, expires_at) = (columns.state("API key")?, columns.maybe_time()?);
        let now = tx.now().await?;
        if state != State::Active || expires_at.is_some_and(|end| end <= now) {
            return Err(beyond);
        }
        Ok(Some(Self { expires_at, ..found }))
    }

    /// Whether a key of that organization and side is there for them at all.
    pub(super) fn sees(&self, org: OrgId, environment: Environment) -> bool {
        self.org.is_none_or(|own| own == org) && self.environment.is_none_or(|own| own == environment)
    }

    /// Whether they may do all that a key with this power may.
    ///
    /// # Errors
    /// [`KEY_BEYOND`], if not.
    pub(super) fn covers(&self, power: Power<'_>) -> Result<(), StoreError> {
        let from_within = match (&self.networks, power.networks) {
            (None, _) => true,
            (Some(ours), Some(theirs)) => theirs.within(ours),
            (Some(_), None) => false,
        };
        let as_long = match (self.expires_at, power.expires_at) {
            (None, _) => true,
            (Some(ours), Some(theirs)) => theirs <= ours,
            (Some(_), None) => false,
        };
        let everywhere = self.grants.iter().all(|ours| power.grants.within(ours));
        match everywhere && !self.grants.is_empty() && from_within && as_long {
            true => Ok(()),
            false => Err(StoreError::Refused { why: KEY_BEYOND }),
        }
    }

    /// The bounds of a key that is to be made: theirs, where none are said.
    pub(super) fn narrowed(
        &self,
        networks: Option<Networks>,
        expires_at: Option<UnixMillis>,
    ) -> (Option<Networks>, Option<UnixMillis>) {
        (networks.or_else(|| self.networks.clone()), expires_at.or(self.expires_at))
    }
}
