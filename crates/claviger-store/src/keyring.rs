//! The keys that the store's secrets hang on, in a file of their own.
//!
//! The file stands beside the database and not in it: it protects a backup of the database alone. Older peppers
//! stay for the keys made under them, older encryption keys for what they sealed; the newest is used for all
//! that is made.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::{hkdf, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use claviger::api_key::{PepperId, Peppers};
use claviger::random::Random;
use claviger::secret::Secret;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::error::StoreError;
use crate::seal::{self, Place};

const BYTES: usize = 32;

/// Peppers, encryption keys and the secret that others are derived from.
#[derive(Clone)]
pub struct Keyring {
    /// Oldest first; never empty.
    peppers: Vec<(PepperId, Secret)>,
    /// Oldest first; never empty.
    encryption: Vec<(String, Secret)>,
    derivation: Secret,
    /// What was derived for MACs so far, by its label: deriving takes as long as several of them.
    macs: MacKeys,
}

type MacKeys = Arc<RwLock<HashMap<&'static str, Arc<hmac::Key>>>>;

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(..)")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    derivation: String,
    pepper: Vec<Entry>,
    encryption: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    secret: String,
}

impl Drop for Document {
    fn drop(&mut self) {
        self.derivation.zeroize();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl Entry {
    fn of(id: &str, secret: &Secret) -> Self {
        Self { id: id.to_owned(), secret: text(secret) }
    }
}

fn text(secret: &Secret) -> String {
    STANDARD.encode(secret.expose())
}

/// 32 bytes that nobody can foresee.
pub(crate) fn fresh(random: &dyn Random) -> Secret {
    let mut bytes = vec![0; BYTES];
    random.fill(&mut bytes);
    Secret::new(bytes)
}

/// A letter and one more than the highest number that follows it in these names. An older key may have left the
/// keyring: what is stored under a name must never meet another key of that name.
fn next_name<'a>(letter: char, names: impl Iterator<Item = &'a str>) -> String {
    let numbers = names.filter_map(|name| name.strip_prefix(letter)?.parse::<u64>().ok());
    format!("{letter}{}", numbers.max().unwrap_or(0).saturating_add(1))
}

impl Keyring {
    /// A fresh one, with one key of each kind.
    ///
    /// # Errors
    /// Never in practice: its first names are well formed.
    pub fn generate(random: &dyn Random) -> Result<Self, StoreError> {
        let mut keyring = Self {
            peppers: Vec::new(),
            encryption: Vec::new(),
            derivation: fresh(random),
            macs: MacKeys::default(),
        };
        keyring.add_pepper(random)?;
        keyring.add_encryption_key(random);
        Ok(keyring)
    }

    /// Adds a pepper, which keys made from now on are stored under.
    ///
    /// # Errors
    /// If there are so many that the next has no short name left.
    pub fn add_pepper(&mut self, random: &dyn Random) -> Result<(), StoreError> {
        let id = next_name('k', self.peppers.iter().map(|(id, _)| id.as_str()));
        let id = id.parse().map_err(StoreError::Setup)?;
        self.peppers.push((id, fresh(random)));
        Ok(())
    }

    /// Adds an encryption key, which everything sealed from now on is sealed under.
    pub fn add_encryption_key(&mut self, random: &dyn Random) {
        let id = next_name('e', self.encryption.iter().map(|(id, _)| id.as_str()));
        self.encryption.push((id, fresh(random)));
    }

    /// The names of the peppers, the newest last.
    pub fn pepper_ids(&self) -> Vec<String> {
        self.peppers.iter().map(|(id, _)| id.to_string()).collect()
    }

    /// The names of the encryption keys, the newest last.
    pub fn encryption_key_ids(&self) -> Vec<String> {
        self.encryption.iter().map(|(id, _)| id.clone()).collect()
    }

    /// What a server says that it holds: the names of peppers and encryption keys.
    pub(crate) fn held(&self) -> String {
        [self.pepper_ids(), self.encryption_key_ids()].concat().join(" ")
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, others than its owner may read it, or it is not a keyring.
    pub fn load(path: &Path) -> Result<Self, StoreError> {
        let shown = path.display();
        let unreadable = |error: std::io::Error| {
            StoreError::Setup(format!("cannot read the keyring `{shown}`: {}", error.kind()))
        };
        let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(StoreError::Setup(format!(
                "the keyring `{shown}` may be read by others than its owner; `chmod 600` it"
            )));
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(unreadable)?);
        // What the parser says could quote a line of the file.
        Self::parse(&text)
            .ok_or_else(|| StoreError::Setup(format!("`{shown}` is not a keyring of this version")))
    }

    fn parse(text: &str) -> Option<Self> {
        let document: Document = toml::from_str(text).ok()?;
        let secret = |text: &String| {
            let bytes = STANDARD.decode(text).ok()?;
            (bytes.len() == BYTES).then(|| Secret::new(bytes))
        };
        let peppers: Option<Vec<_>> = document
            .pepper
            .iter()
            .map(|entry| Some((entry.id.parse().ok()?, secret(&entry.secret)?)))
            .collect();
        let encryption: Option<Vec<_>> = document
            .encryption
            .iter()
            .map(|entry| Some((entry.id.clone(), secret(&entry.secret)?)))
            .collect();
        let found = Self {
            peppers: peppers?,
            encryption: encryption?,
            derivation: secret(&document.derivation)?,
            macs: MacKeys::default(),
        };
        let complete = document.version == 1 && !found.peppers.is_empty() && !found.encryption.is_empty();
        let once = |ids: Vec<String>| ids.iter().collect::<HashSet<_>>().len() == ids.len();
        let named_once = once(found.pepper_ids()) && once(found.encryption_key_ids());
        (complete && named_once).then_some(found)
    }

    /// Whether every key of `other`, but for the one called `dropped`, is in this one under the same name.
    fn holds(&self, other: &Self, dropped: Option<&str>) -> bool {
        let is_dropped = |name: &str| dropped == Some(name);
        other.peppers.iter().all(|key| self.peppers.contains(key) || is_dropped(key.0.as_str()))
            && other.encryption.iter().all(|key| self.encryption.contains(key) || is_dropped(&key.0))
            && other.derivation == self.derivation
    }

    /// Writes the file at `path`, readable by its owner alone, whole or not at all. A key that the file holds is never
    /// lost: of two who add one at once the second is refused, and has to begin with the first one's file.
    ///
    /// # Errors
    /// If it cannot be written, somebody else is writing in its folder, or the file there holds a key that this
    /// keyring does not.
    pub fn save(&self, path: &Path) -> Result<(), StoreError> {
        self.write(path, None)
    }

    /// Takes a pepper or an encryption key out of the file at `path`, and gives what is left. Whether anything hangs on it is for
    /// the store to say, and to be asked before.
    ///
    /// # Errors
    /// If there is none of this name, it is the newest of its kind, or the file cannot be written.
    pub fn drop_key(path: &Path, name: &str) -> Result<Self, StoreError> {
        let mut keyring = Self::load(path)?;
        let peppers = keyring.pepper_ids();
        let newest = [peppers.last().cloned(), keyring.encryption_key_ids().last().cloned()];
        if newest.iter().flatten().any(|newest| newest == name) {
            return Err(StoreError::Invalid(format!(
                "`{name}` is the newest of its kind, which new ones hang on; add another one first"
            )));
        }
        let before = peppers.len() + keyring.encryption.len();
        keyring.peppers.retain(|(id, _)| id.as_str() != name);
        keyring.encryption.retain(|(id, _)| id != name);
        if keyring.peppers.len() + keyring.encryption.len() == before {
            return Err(StoreError::Invalid(format!("the keyring has no key `{name}`")));
        }
        keyring.write(path, Some(name))?;
        Ok(keyring)
    }

    /// Writes the file, which may hold the key called `dropped` and no other that this keyring does not.
    fn write(&self, path: &Path, dropped: Option<&str>) -> Result<(), StoreError> {
        let document = Document {
            version: 1,
            derivation: text(&self.derivation),
            pepper: self.peppers.iter().map(|(id, secret)| Entry::of(id.as_str(), secret)).collect(),
            encryption: self.encryption.iter().map(|(id, secret)| Entry::of(id, secret)).collect(),
        };
        let shown = path.display();
        let failed = |error: std::io::Error| {
            StoreError::Setup(format!("cannot write the keyring `{shown}`: {}", error.kind()))
        };
        let text = toml::to_string(&document)
            .map(Zeroizing::new)
            .map_err(|_| StoreError::Setup("the keyring cannot be spelt as TOML".into()))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // Held until the file is in its place.
        let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        match folder.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Setup(format!(
                    "somebody else is writing in the folder of the keyring `{shown}`; try again"
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        if path.try_exists().map_err(failed)? && !self.holds(&Self::load(path)?, dropped) {
            return Err(StoreError::Setup(format!(
                "the keyring `{shown}` has changed since it was read; read it again, and then add the key"
            )));
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let written = (|| {
            // A leftover of an attempt that was cut short; a link in its place would lead the write elsewhere.
            match std::fs::remove_file(&beside) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&beside, path)?;
            folder.sync_all()
        })();
        written.map_err(failed)
    }

    /// The peppers, as the core takes them.
    ///
    /// # Errors
    /// Never in practice: a keyring has at least one.
    pub fn peppers(&self) -> Result<Peppers, StoreError> {
        let (newest, older) =
            self.peppers.split_last().ok_or_else(|| StoreError::Setup("the keyring has no pepper".into()))?;
        Ok(Peppers::new((newest.0.clone(), &newest.1), older.iter().cloned()))
    }

    /// The same with the pepper of this name in the place of the newest, which new keys are made under.
    ///
    /// # Errors
    /// If there is none of this name.
    pub(crate) fn peppers_with(&self, current: &PepperId) -> Result<Peppers, StoreError> {
        let (is_current, others): (Vec<_>, Vec<_>) =
            self.peppers.iter().cloned().partition(|(id, _)| id == current);
        let (id, secret) = is_current
            .into_iter()
            .next()
            .ok_or_else(|| StoreError::Setup(format!("the keyring has no pepper `{current}`")))?;
        Ok(Peppers::new((id, &secret), others))
    }

    /// Of these names of peppers, those that are newer than all that this keyring has.
    pub(crate) fn lacking<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<String> {
        let number = |name: &str| name.strip_prefix('k').and_then(|number| number.parse::<u64>().ok());
        let newest = self.peppers.iter().filter_map(|(id, _)| number(id.as_str())).max().unwrap_or(0);
        names.filter(|name| number(name).is_some_and(|number| number > newest)).map(str::to_owned).collect()
    }

    /// 32 bytes for one purpose, the same each time (HKDF-SHA-256, RFC 5869, with `label` as info).
    pub fn derive(&self, label: &str) -> Secret {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"claviger");
        let mut out = vec![0; BYTES];
        let info = [label.as_bytes()];
        let filled = salt
            .extract(self.derivation.expose())
            .expand(&info, hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut out));
        debug_assert!(filled.is_ok(), "one block of output is always there");
        Secret::new(out)
    }

    /// The key of the MACs (HMAC-SHA-256) of one purpose, the same each time: what [`derive`](Self::derive) gives for `label`.
    pub(crate) fn mac_key(&self, label: &'static str) -> Arc<hmac::Key> {
        if let Some(key) = self.macs.read().unwrap_or_else(PoisonError::into_inner).get(label) {
            return key.clone();
        }
        let key = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, self.derive(label).expose()));
        self.macs.write().unwrap_or_else(PoisonError::into_inner).entry(label).or_insert(key).clone()
    }

    /// Seals `plain` under the encryption key of this name.
    pub(crate) fn seal_under(
        &self,
        name: &str,
        place: &Place<'_>,
        plain: &Secret,
        random: &dyn Random,
    ) -> Result<Vec<u8>, StoreError> {
        let key = self.encryption.iter().find(|(id, _)| id == name);
        key.and_then(|(id, secret)| seal::seal(id, secret, place, plain, random))
            .ok_or_else(|| StoreError::Setup("the keyring has no usable encryption key".into()))
    }

    /// Seals `plain` under the newest encryption key.
    #[cfg(test)]
    pub(crate) fn seal(
        &self,
        place: &Place<'_>,
        plain: &Secret,
        random: &dyn Random,
    ) -> Result<Vec<u8>, StoreError> {
        self.encryption
            .last()
            .and_then(|(id, secret)| seal::seal(id, secret, place, plain, random))
            .ok_or_else(|| StoreError::Setup("the keyring has no usable encryption key".into()))
    }

    /// Opens what was sealed for the same place under any of the encryption keys.
    pub(crate) fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Option<Secret> {
        let (wanted, rest) = seal::key_of(sealed)?;
        let (id, secret) = self.encryption.iter().find(|(id, _)| id == wanted)?;
        seal::open(id, secret, place, rest)
    }

    /// A value per key that proves, without giving it away, that a keyring is the store's own.
    pub(crate) fn checks(&self, store_id: &str) -> Vec<Check> {
        let check = |kind: &'static str, id: &str, secret: &Secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
            let tag =
                hmac::sign(&key, format!("claviger keyring check\n{store_id}\n{kind}\n{id}").as_bytes());
            Check { kind, id: id.to_owned(), value: tag.as_ref().to_vec() }
        };
        let peppers = self.peppers.iter().map(|(id, secret)| check("pepper", id.as_str(), secret));
        let encryption = self.encryption.iter().map(|(id, secret)| check("encryption", id, secret));
        let derivation = std::iter::once(check("derivation", "d1", &self.derivation));
        peppers.chain(encryption).chain(derivation).collect()
    }
}

/// See [`Keyring::checks`].
pub(crate) struct Check {
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) value: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use claviger::id::TenantId;
    use claviger::testing::Counting;

    fn keyring(random: &Counting) -> Keyring {
        Keyring::generate(random).unwrap()
    }

    fn place(id: &str) -> Place<'_> {
        Place { tenant: None, table: "signing_key", column: "sealed_key", id }
    }

    #[test]
    fn the_key_of_macs_is_what_is_derived_for_its_label_whenever_it_is_asked_for() {
        let keyring = keyring(&Counting::default());
        for label in ["one", "other", "one"] {
            let derived = hmac::Key::new(hmac::HMAC_SHA256, keyring.derive(label).expose());
            let (ours, theirs) = (hmac::sign(&keyring.mac_key(label), b"x"), hmac::sign(&derived, b"x"));
            assert_eq!(ours.as_ref(), theirs.as_ref(), "{label}");
        }
        let of = |label| hmac::sign(&keyring.mac_key(label), b"x").as_ref().to_vec();
        assert_ne!(of("one"), of("other"));
    }

    #[test]
    fn a_sealed_value_opens_at_its_own_place_alone() {
        let random = Counting::default();
        let mut keyring = keyring(&random);
        let plain = Secret::new(b"a private key".to_vec());
        let mut sealed = keyring.seal(&place("a"), &plain, &random).unwrap();
        keyring.add_encryption_key(&random);
        assert_eq!(keyring.open(&place("a"), &sealed), Some(plain.clone()), "the older key still opens");
        assert!(keyring.open(&place("b"), &sealed).is_none());
        let elsewhere = Place { tenant: Some(TenantId::generate(&random)), ..place("a") };
        assert!(keyring.open(&elsewhere, &sealed).is_none());
        assert_ne!(keyring.seal(&place("a"), &plain, &random).unwrap(), sealed);
        for at in 0..sealed.len() {
            sealed[at] ^= 1;
            assert!(keyring.open(&place("a"), &sealed).is_none(), "byte {at} is not covered");
            sealed[at] ^= 1;
        }
    }

    #[test]
    fn a_keyring_reads_back_from_its_file_which_only_its_owner_may_read() {
        let random = Counting::default();
        let folder = crate::testing::Folder::make();
        let path = folder.path().join("keyring.toml");
        let mut keyring = keyring(&random);
        keyring.save(&path).unwrap();
        keyring.add_pepper(&random).unwrap();
        keyring.save(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Keyring::load(&path).unwrap();
        assert_eq!(read.derive("cookies"), keyring.derive("cookies"));
        assert_ne!(read.derive("cookies"), keyring.derive("biscuits"));
        assert_eq!(read.peppers.len(), 2);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = Keyring::load(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_name_is_not_given_twice() {
        let random = Counting::default();
        let mut keyring = keyring(&random);
        for _ in 0..2 {
            keyring.add_pepper(&random).unwrap();
            keyring.add_encryption_key(&random);
        }
        keyring.peppers.remove(0);
        keyring.encryption.remove(1);
        keyring.add_pepper(&random).unwrap();
        keyring.add_encryption_key(&random);
        assert_eq!(keyring.pepper_ids(), ["k2", "k3", "k4"]);
        assert_eq!(keyring.encryption_key_ids(), ["e1", "e3", "e4"]);

        let path = crate::testing::Folder::make();
        let path = path.path().join("keyring.toml");
        keyring.save(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for (id, other) in [("k4", "k3"), ("e4", "e3")] {
            assert!(Keyring::parse(&text.replace(id, other)).is_none(), "{other} is there twice");
        }
    }

    #[test]
    fn of_two_who_add_a_key_at_once_none_loses_the_others() {
        let random = Counting::default();
        let folder = crate::testing::Folder::make();
        let path = folder.path().join("keyring.toml");
        keyring(&random).save(&path).unwrap();
        let (mut first, mut second) = (Keyring::load(&path).unwrap(), Keyring::load(&path).unwrap());
        first.add_pepper(&random).unwrap();
        second.add_encryption_key(&random);
        first.save(&path).unwrap();
        let error = second.save(&path).unwrap_err().to_string();
        assert!(error.contains("has changed since it was read"), "{error}");
        assert_eq!(Keyring::load(&path).unwrap().pepper_ids(), ["k1", "k2"]);

        let mut again = Keyring::load(&path).unwrap();
        again.add_encryption_key(&random);
        let held = File::open(folder.path()).unwrap();
        held.lock().unwrap();
        let error = again.save(&path).unwrap_err().to_string();
        assert!(error.contains("try again"), "{error}");
        drop(held);
        again.save(&path).unwrap();
        let all = Keyring::load(&path).unwrap();
        assert_eq!((all.peppers.len(), all.encryption.len()), (2, 2));
    }

    #[test]
    fn a_keyring_prints_nothing_and_quotes_nothing_of_a_broken_file() {
        let folder = crate::testing::Folder::make();
        let path = folder.path().join("keyring.toml");
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
        file.write_all(b"version = 1\nderivation = \"aHVudGVyMg==\" oops").unwrap();
        let error = Keyring::load(&path).unwrap_err().to_string();
        assert!(!error.contains("aHVudGVyMg"), "{error}");
        assert_eq!(format!("{:?}", keyring(&Counting::default())), "Keyring(..)");
    }
}
