//! A tenant's own key.

use claviger::id::TenantId;
use claviger::random::Random;
use claviger::secret::Secret;

use crate::error::StoreError;
use crate::keyring::{Keyring, fresh};
use crate::seal::{self, Place};

/// A tenant's own key, sealed under the keyring: destroying it destroys what it sealed.
pub(crate) struct DataKey(Secret);

impl DataKey {
    const ID: &'static str = "tenant";

    /// A fresh one.
    pub(crate) fn generate(random: &dyn Random) -> Self {
        Self(fresh(random))
    }

    fn place(tenant: TenantId, id: &str) -> Place<'_> {
        Place { tenant: Some(tenant), table: "tenant", column: "data_key", id }
    }

    /// As the tenant's row holds it.
    pub(crate) fn sealed(
        &self,
        tenant: TenantId,
        (keyring, under): (&Keyring, &str),
        random: &dyn Random,
    ) -> Result<Vec<u8>, StoreError> {
        keyring.seal_under(under, &Self::place(tenant, &tenant.to_string()), &self.0, random)
    }

    /// From the tenant's row.
    pub(crate) fn open(tenant: TenantId, keyring: &Keyring, sealed: &[u8]) -> Result<Self, StoreError> {
        let opened = keyring.open(&Self::place(tenant, &tenant.to_string()), sealed);
        opened.map(Self).ok_or(StoreError::Corrupt { what: "tenant's data key" })
    }

    pub(crate) fn seal(
        &self,
        place: &Place<'_>,
        plain: &Secret,
        random: &dyn Random,
    ) -> Result<Vec<u8>, StoreError> {
        seal::seal(Self::ID, &self.0, place, plain, random)
            .ok_or(StoreError::Corrupt { what: "tenant's data key" })
    }

    pub(crate) fn unseal(&self, place: &Place<'_>, sealed: &[u8]) -> Option<Secret> {
        let (id, rest) = seal::key_of(sealed)?;
        (id == Self::ID).then(|| seal::open(id, &self.0, place, rest))?
    }
}
