//! The form of an API key, and the digest it is found by.
//!
//! `sk_live_k1_` + 27 or more random base62 characters + 6 characters of checksum. The part before the last
//! underscore names the pepper under which the key is stored. An underscore within the first ten characters
//! after `sk_live_` keeps secret scanners from reporting the key as another company's. The checksum refuses
//! what was mistyped or made up without a look-up; it is no protection and not meant to be one.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use aws_lc_rs::hmac;

use crate::credential::Text;
use crate::id::Environment;
use crate::random::Random;
use crate::secret::Secret;

/// How many random characters a new key has: 27 × log₂ 62 ≈ 160.8 bits.
const RANDOM_CHARACTERS: usize = 27;
const CHECKSUM_CHARACTERS: usize = 6;
/// The longest key there is. Longer credentials are not looked at.
const MAX_CHARACTERS: usize = 128;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What an API's keys begin with: `sk` in `sk_live_…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPrefix(Box<str>);

impl KeyPrefix {
    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for KeyPrefix {
    /// `sk`.
    fn default() -> Self {
        Self("sk".into())
    }
}

impl FromStr for KeyPrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let good = (1..=16).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && !text.starts_with('_')
            && !text.ends_with('_');
        good.then(|| Self(text.into())).ok_or_else(|| {
            format!(
                "`{text}` cannot begin a key; use at most 16 lower-case letters, digits and inner underscores"
            )
        })
    }
}

/// Names the pepper a key is stored under: `k1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PepperId(Box<str>);

impl PepperId {
    fn is_name(text: &str) -> bool {
        (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PepperId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PepperId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::is_name(text).then(|| Self(text.into())).ok_or_else(|| {
            format!("`{text}` cannot name a pepper; use at most 8 lower-case letters and digits")
        })
    }
}

/// A key as somebody showed it: well formed, its checksum right, and not yet known to anybody.
pub struct PresentedKey<'a> {
    text: Text<'a>,
    environment: Environment,
    /// Where in the text the pepper's name stands.
    pepper: Range<usize>,
}

impl fmt::Debug for PresentedKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentedKey(..)")
    }
}

impl<'a> PresentedKey<'a> {
    /// Reads a whole key. `None` if any part of it is not as it must be, down to the last character.
    pub fn parse(text: &'a str, prefix: &KeyPrefix) -> Option<Self> {
        Self::read(Text::Sent(text), prefix).ok().flatten()
    }

    /// The same of a text that may be none: it comes back if it does not even look like one.
    pub(crate) fn read(text: Text<'a>, prefix: &KeyPrefix) -> Result<Option<Self>, Text<'a>> {
        let Some((environment, rest)) = split_environment(text.as_str(), prefix) else { return Err(text) };
        let begin = text.as_str().len() - rest.len();
        Ok(pepper_of(text.as_str(), rest).map(|length| Self {
            text,
            environment,
            pepper: begin..begin + length,
        }))
    }

    /// Live or sandbox, as the key itself says.
    pub fn environment(&self) -> Environment {
        self.environment
    }

    /// The pepper that the key names.
    pub fn pepper(&self) -> &str {
        self.text.as_str().get(self.pepper.clone()).unwrap_or_default()
    }
}

fn split_environment<'t>(text: &'t str, prefix: &KeyPrefix) -> Option<(Environment, &'t str)> {
    let rest = text.strip_prefix(prefix.as_str())?.strip_prefix('_')?;
    let (environment, rest) = rest.split_once('_')?;
    Some((environment.parse().ok()?, rest))
}

/// How long the pepper's name is with which `rest`, the last part of the key `text`, begins; `None` if it is no whole
/// key.
fn pepper_of(text: &str, rest: &str) -> Option<usize> {
    if text.len() > MAX_CHARACTERS {
        return None;
    }
    let (pepper, random) = rest.split_once('_')?;
    let well_formed = PepperId::is_name(pepper)
        && random.len() >= RANDOM_CHARACTERS + CHECKSUM_CHARACTERS
        && random.bytes().all(|b| b.is_ascii_alphanumeric());
    let (body, sum) = text.split_at_checked(text.len().checked_sub(CHECKSUM_CHARACTERS)?)?;
    (well_formed && checksum(body) == sum.as_bytes()).then_some(pepper.len())
}

/// A new key, to be shown once.
pub struct NewKey {
    /// The whole key.
    pub secret: Secret,
    /// What it is found by.
    pub digest: KeyDigest,
    /// The pepper the digest was made under.
    pub pepper: PepperId,
    /// What may be shown of it later: `sk_live_`.
    pub prefix: String,
    /// What may be shown of it later: the last four characters.
    pub last_four: String,
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl NewKey {
    /// Makes one under the newest of `peppers`.
    pub fn generate(
        prefix: &KeyPrefix,
        environment: Environment,
        peppers: &Peppers,
        random: &dyn Random,
    ) -> Self {
        let newest = peppers.newest();
        let shown_prefix = format!("{}_{environment}_", prefix.as_str());
        let mut text = format!("{shown_prefix}{}_", newest.id);
        for _ in 0..RANDOM_CHARACTERS {
            text.push(random_base62(random));
        }
        let sum = checksum(&text);
        text.extend(sum.iter().map(|b| char::from(*b)));
        let last_four = text.get(text.len() - 4..).unwrap_or_default().to_owned();
        Self {
            digest: newest.digest(&text),
            pepper: newest.id.clone(),
            secret: Secret::new(text.into_bytes()),
            prefix: shown_prefix,
            last_four,
        }
    }
}

/// One of 62 characters, each as likely as any other: bytes beyond the last multiple of 62 are thrown again.
fn random_base62(random: &dyn Random) -> char {
    loop {
        let mut byte = [0];
        random.fill(&mut byte);
        if let Some(character) = BASE62.get(usize::from(byte[0] >> 2)) {
            return char::from(*character);
        }
    }
}

/// CRC-32 of `body` in base62, most significant character first.
fn checksum(body: &str) -> [u8; CHECKSUM_CHARACTERS] {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut characters = [b'0'; CHECKSUM_CHARACTERS];
    for slot in characters.iter_mut().rev() {
        *slot = BASE62.get((rest % 62) as usize).copied().unwrap_or(b'0');
        rest /= 62;
    }
    characters
}

/// HMAC-SHA-256 of a whole key under a pepper: what the store keeps and finds it by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// From the 32 bytes as stored; `None` for any other number of them.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(..)")
    }
}

/// The peppers of this server, the newest last. There is always at least one.
#[derive(Debug, Clone)]
pub struct Peppers {
    older: Vec<Pepper>,
    newest: Pepper,
    /// For keys that name a pepper nobody has: they are looked up like any other, and never found.
    decoy: hmac::Key,
}

/// What a presented key is looked up by.
#[derive(Debug, Clone, Copy)]
pub struct Digested {
    /// The digest.
    pub digest: KeyDigest,
    /// Whether the pepper that the key names is one of this server's. Anybody can make a name up, so this is for a
    /// figure and never for an answer.
    pub pepper_is_known: bool,
}

#[derive(Clone)]
struct Pepper {
    id: PepperId,
    key: hmac::Key,
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pepper({}, ..)", self.id)
    }
}

impl Pepper {
    fn new(id: PepperId, secret: &Secret) -> Self {
        Self { id, key: hmac::Key::new(hmac::HMAC_SHA256, secret.expose()) }
    }

    fn digest(&self, text: &str) -> KeyDigest {
        digest(&self.key, text)
    }
}

fn digest(key: &hmac::Key, text: &str) -> KeyDigest {
    let tag = hmac::sign(key, text.as_bytes());
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    KeyDigest(bytes)
}

impl Peppers {
    /// From the newest pepper and the older ones that live keys still use.
    ///
    /// # Panics
    /// If the system's random generator does not answer.
    #[expect(clippy::expect_used, reason = "without random bytes every key made afterwards could be guessed")]
    pub fn new(newest: (PepperId, &Secret), older: impl IntoIterator<Item = (PepperId, Secret)>) -> Self {
        Self {
            newest: Pepper::new(newest.0, newest.1),
            older: older.into_iter().map(|(id, secret)| Pepper::new(id, &secret)).collect(),
            decoy: hmac::Key::generate(hmac::HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new())
                .expect("the system's random generator answers"),
        }
    }

    fn newest(&self) -> &Pepper {
        &self.newest
    }

    /// What a presented key is looked up by, whatever pepper it names.
    pub fn digest(&self, key: &PresentedKey<'_>) -> Digested {
        let named = key.pepper();
        let pepper = std::iter::once(&self.newest).chain(&self.older).find(|pepper| &*pepper.id.0 == named);
        let digest = digest(pepper.map_or(&self.decoy, |pepper| &pepper.key), key.text.as_str());
        Digested { digest, pepper_is_known: pepper.is_some() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    fn peppers() -> Peppers {
        Peppers::new(("k1".parse().unwrap(), &Secret::new(vec![7; 32])), [])
    }

    fn prefix() -> KeyPrefix {
        "sk".parse().unwrap()
    }

    fn fresh() -> String {
        let key = NewKey::generate(&prefix(), Environment::Live, &peppers(), &SystemRandom);
        key.secret.expose_text().unwrap().to_owned()
    }

    #[test]
    fn a_new_key_reads_back_to_its_own_digest() {
        let key = NewKey::generate(&prefix(), Environment::Test, &peppers(), &SystemRandom);
        let text = key.secret.expose_text().unwrap();
        let shown = PresentedKey::parse(text, &prefix()).unwrap();
        assert_eq!(shown.environment(), Environment::Test);
        assert_eq!(peppers().digest(&shown).digest, key.digest);
        assert!(text.starts_with("sk_test_k1_") && text.ends_with(&key.last_four));
        assert_eq!(text.len(), "sk_test_k1_".len() + 33);
    }

    #[test]
    fn scanners_cannot_take_a_key_for_another_companys() {
        // The rule of a common scanner: ten or more alphanumeric characters right after `sk_live_`.
        let key = fresh();
        let run = key.trim_start_matches("sk_live_").bytes().take_while(u8::is_ascii_alphanumeric).count();
        assert!(run < 10);
    }

    #[test]
    fn trap_key_and_trailing_bytes_accepted() {
        let key = fresh();
        for bad in
            [format!("{key}x"), format!("{key} "), format!(" {key}"), format!("{key}\0"), key[1..].to_owned()]
        {
            assert!(PresentedKey::parse(&bad, &prefix()).is_none(), "{bad}");
        }
    }

    #[test]
    fn every_single_mistyped_character_is_noticed() {
        let key = fresh();
        for at in "sk_live_k1_".len()..key.len() {
            let mut bytes = key.clone().into_bytes();
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            let mistyped = String::from_utf8(bytes).unwrap();
            assert!(PresentedKey::parse(&mistyped, &prefix()).is_none(), "{mistyped}");
        }
    }

    #[test]
    fn trap_prefix_containing_an_underscore() {
        let prefix: KeyPrefix = "my_app".parse().unwrap();
        let key = NewKey::generate(&prefix, Environment::Live, &peppers(), &SystemRandom);
        let text = key.secret.expose_text().unwrap();
        assert_eq!(PresentedKey::parse(text, &prefix).unwrap().environment(), Environment::Live);
        assert!("_sk".parse::<KeyPrefix>().is_err());
    }

    #[test]
    fn another_pepper_gives_another_digest_and_an_unknown_one_a_digest_that_nobody_has() {
        let key = fresh();
        let shown = PresentedKey::parse(&key, &prefix()).unwrap();
        let of = |peppers: &Peppers| {
            let digested = peppers.digest(&shown);
            (digested.digest, digested.pepper_is_known)
        };
        let (own, other) = (peppers(), Peppers::new(("k1".parse().unwrap(), &Secret::new(vec![8; 32])), []));
        assert!(of(&own).1 && of(&other).1);
        assert_ne!(of(&own).0, of(&other).0);
        let rolled = Peppers::new(
            ("k2".parse().unwrap(), &Secret::new(vec![9; 32])),
            [("k1".parse().unwrap(), Secret::new(vec![7; 32]))],
        );
        assert_eq!(of(&rolled), of(&own), "an older pepper still finds its keys");
        let renamed = || Peppers::new(("k2".parse().unwrap(), &Secret::new(vec![7; 32])), []);
        let (first, second) = (renamed(), renamed());
        assert!(!of(&first).1);
        assert_eq!(of(&first), of(&first), "the same each time, so that it can be known to be absent");
        assert_ne!(of(&first).0, of(&own).0);
        assert_ne!(of(&first).0, of(&second).0, "and nothing that somebody outside could compute");
    }

    #[test]
    fn nothing_of_a_key_is_printed() {
        let key = NewKey::generate(&prefix(), Environment::Live, &peppers(), &SystemRandom);
        let shown = PresentedKey::parse(key.secret.expose_text().unwrap(), &prefix()).unwrap();
        let printed = format!("{key:?} {shown:?} {:?} {:?}", key.digest, peppers());
        assert!(!printed.contains(&key.last_four), "{printed}");
    }
}
