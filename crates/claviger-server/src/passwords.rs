//! Passwords: argon2id (RFC 9106), a bounded number at a time, as each takes a core and 19 MiB for some time. The memory is kept and used
//! again: what is given back to the allocator stays with the process all the same, and taken anew each page of it is a fault.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD as STANDARD_NO_PAD;
use claviger::random::Random;
use claviger::secret::Secret;
use tokio::sync::Semaphore;

use crate::failure::{Failure, FailureKind};

/// What one takes: what OWASP recommends (Password Storage Cheat Sheet, 2025).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// How many may wait for each that is under way.
const WAITING_FOR_EACH: usize = 32;
/// The longest password, in bytes.
pub(crate) const LONGEST: usize = 1024;
/// The shortest, in characters.
const SHORTEST: usize = 8;

/// Hashes and compares them.
#[derive(Clone)]
pub struct Passwords(Arc<Pool>);

struct Pool {
    argon2: Argon2<'static>,
    places: Semaphore,
    waiting: AtomicUsize,
    most_waiting: usize,
    random: Arc<dyn Random>,
    /// What is compared with where there is nothing: it takes as long.
    decoy: String,
    /// The memory of those that are not under way: as much as there were at once.
    memory: Mutex<Vec<Vec<Block>>>,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords(..)")
    }
}

/// How long a hash is, in bytes.
const OUTPUT: usize = Params::DEFAULT_OUTPUT_LEN;

impl Pool {
    /// The hash of a password with this salt, in memory that was used before, if there is some.
    fn output(&self, password: &[u8], salt: &[u8]) -> argon2::Result<[u8; OUTPUT]> {
        let kept = || self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || vec![Block::new(); self.argon2.params().block_count()];
        let mut memory = kept().pop().unwrap_or_else(fresh);
        let mut output = [0; OUTPUT];
        let hashed = self.argon2.hash_password_into_with_memory(password, salt, &mut output, &mut memory);
        kept().push(memory);
        hashed.map(|()| output)
    }

    fn hashed(&self, password: &[u8], salt: [u8; 16]) -> Result<String, Failure> {
        let output = self.output(password, &salt);
        output
            .map(|output| spelt(&salt, &output))
            .map_err(|_| Failure::of(FailureKind::Broken, "the password could not be hashed"))
    }

    /// Whether it is the password of that hash.
    fn fits(&self, password: &[u8], hash: &PasswordHash) -> bool {
        let ours = self.argon2.params();
        let is_ours = hash.algorithm == Algorithm::Argon2id.ident()
            && hash.version == Some(Version::V0x13.into())
            && Params::try_from(hash).is_ok_and(|its| {
                (its.m_cost(), its.t_cost(), its.p_cost()) == (ours.m_cost(), ours.t_cost(), ours.p_cost())
            });
        match (is_ours, &hash.salt, &hash.hash) {
            (true, Some(salt), Some(output)) if output.len() == OUTPUT => {
                let found = self.output(password, salt);
                found.is_ok_and(|found| verify_slices_are_equal(&found, output.as_bytes()).is_ok())
            }
            // Made with other parameters, its memory is of another size.
            _ => self.argon2.verify_password(password, hash).is_ok(),
        }
    }
}

/// A hash as a PHC string.
fn spelt(salt: &[u8], output: &[u8]) -> String {
    let [salt, output] = [STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(output)];
    format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${output}")
}

/// What looks like the hash of a password and is none's. Nothing is hashed for it: at every start that would take 19 MiB, which stay.
fn decoy(random: &dyn Random) -> String {
    let (mut salt, mut output) = ([0; 16], [0; OUTPUT]);
    random.fill(&mut salt);
    random.fill(&mut output);
    spelt(&salt, &output)
}

/// A place in the queue, given back with it.
struct Place<'p>(&'p AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Passwords {
    /// So many at a time.
    ///
    /// # Errors
    /// If nothing can be hashed.
    pub fn new(at_once: usize, random: Arc<dyn Random>) -> Result<Self, Failure> {
        let broken = |_| Failure::of(FailureKind::Broken, "passwords cannot be hashed");
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(broken)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let decoy = decoy(&*random);
        let at_once = at_once.max(1);
        Ok(Self(Arc::new(Pool {
            argon2,
            places: Semaphore::new(at_once),
            waiting: AtomicUsize::new(0),
            most_waiting: at_once * WAITING_FOR_EACH,
            random,
            decoy,
            memory: Mutex::default(),
        })))
    }

    /// Does something that takes a core for a while, when it is its turn.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Pool) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let full = || {
            let what = "too many passwords wait to be looked at";
            Failure::of(FailureKind::Unavailable, what).after(1)
        };
        let before = self.0.waiting.fetch_add(1, Ordering::SeqCst);
        let place = Place(&self.0.waiting);
        if before >= self.0.most_waiting {
            return Err(full());
        }
        let turn = self.0.places.acquire().await.map_err(|_| full())?;
        drop(place);
        let pool = self.0.clone();
        let done = tokio::task::spawn_blocking(move || work(&pool)).await;
        drop(turn);
        done.map_err(|_| Failure::of(FailureKind::Broken, "a password could not be looked at"))
    }

    /// The hash of a password, as a PHC string.
    ///
    /// # Errors
    /// If too many wait.
    pub async fn hash(&self, password: Secret) -> Result<Secret, Failure> {
        let mut salt = [0; 16];
        self.0.random.fill(&mut salt);
        let hash = self.in_turn(move |pool| pool.hashed(password.expose(), salt)).await??;
        Ok(Secret::new(hash.into_bytes()))
    }

    /// Whether it is the password of that hash. Of no hash it is none, and that is found out in the same time.
    ///
    /// # Errors
    /// If too many wait.
    pub async fn verify(&self, hash: Option<Secret>, password: Secret) -> Result<bool, Failure> {
        self.in_turn(move |pool| {
            let known =
                hash.as_ref().and_then(Secret::expose_text).map(PasswordHash::new).and_then(Result::ok);
            let is_known = known.is_some();
            let Some(hash) = known.or_else(|| PasswordHash::new(&pool.decoy).ok()) else { return false };
            let fits = pool.fits(password.expose(), &hash);
            fits && is_known
        })
        .await
    }
}

/// Whether somebody may choose this password: long enough, and none of those that are tried first.
///
/// # Errors
/// Saying what to do about it, and nothing of the password.
pub(crate) fn may_be_chosen(password: &str, email: &str) -> Result<(), Failure> {
    if password.chars().count() < SHORTEST {
        return Err(Failure::new(format!("`password`: it has to have {SHORTEST} characters at least")));
    }
    if password.len() > LONGEST {
        return Err(Failure::new(format!("`password`: it may have {LONGEST} bytes at most")));
    }
    // It looks at the first hundred characters, and so do we: what is longer is not guessed.
    let beginning: String = password.chars().take(100).collect();
    let estimate = zxcvbn::zxcvbn(&beginning, &[email, "claviger"]);
    if estimate.score() < zxcvbn::Score::Two {
        return Err(Failure::new("`password`: it is among those that are guessed first; choose another one"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use claviger::random::SystemRandom;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_and_nothing_by_none() {
        let passwords = Passwords::new(2, Arc::new(SystemRandom)).unwrap();
        let hash = passwords.hash(secret("correct horse")).await.unwrap();
        let text = hash.expose_text().unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        assert_ne!(passwords.hash(secret("correct horse")).await.unwrap().expose(), hash.expose());
        assert!(passwords.verify(Some(hash.clone()), secret("correct horse")).await.unwrap());
        assert!(!passwords.verify(Some(hash), secret("correct horsf")).await.unwrap());
        assert!(!passwords.verify(None, secret("correct horse")).await.unwrap());
        assert!(!passwords.verify(Some(secret("nonsense")), secret("correct horse")).await.unwrap());
    }

    #[tokio::test]
    async fn the_decoy_takes_what_a_hash_takes() {
        let passwords = Passwords::new(1, Arc::new(SystemRandom)).unwrap();
        let hash = passwords.hash(secret("x")).await.unwrap();
        let parts = |text: &str| {
            let hash = PasswordHash::new(text).unwrap();
            let lengths = (hash.salt.map(|salt| salt.len()), hash.hash.map(|output| output.len()));
            (hash.algorithm, hash.version, hash.params, lengths)
        };
        assert_eq!(parts(&passwords.0.decoy), parts(hash.expose_text().unwrap()));
        assert!(
            passwords
                .0
                .argon2
                .verify_password(b"x", &PasswordHash::new(&passwords.0.decoy).unwrap())
                .is_err()
        );
    }

    #[tokio::test]
    async fn what_is_hashed_in_memory_that_was_used_is_what_the_library_hashes() {
        let passwords = Passwords::new(2, Arc::new(SystemRandom)).unwrap();
        let library = Argon2::default();
        for text in ["first", "second", "third"] {
            let hash = passwords.hash(secret(text)).await.unwrap();
            let parsed = PasswordHash::new(hash.expose_text().unwrap()).unwrap();
            assert!(library.verify_password(text.as_bytes(), &parsed).is_ok(), "{text}");
            assert!(library.verify_password(b"other", &parsed).is_err());
        }
        assert_eq!(passwords.0.memory.lock().unwrap().len(), 1, "one at a time takes the memory of one");
        let both = futures_util::future::join(passwords.hash(secret("a")), passwords.hash(secret("b"))).await;
        assert!(both.0.is_ok() && both.1.is_ok());
        assert!(passwords.0.memory.lock().unwrap().len() <= 2);
        // What was made with other parameters is known by them.
        let other = Params::new(8 * 1024, 3, 1, None).unwrap();
        let other = Argon2::new(Algorithm::Argon2id, Version::V0x13, other);
        let hash: PasswordHash =
            argon2::password_hash::PasswordHasher::hash_password_with_salt(&other, b"old", &[7; 16]).unwrap();
        let hash = secret(&hash.to_string());
        assert!(passwords.verify(Some(hash.clone()), secret("old")).await.unwrap());
        assert!(!passwords.verify(Some(hash), secret("new")).await.unwrap());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_finds_the_queue_full_is_told_to_come_back() {
        let passwords = Passwords::new(1, Arc::new(SystemRandom)).unwrap();
        let asked = WAITING_FOR_EACH * 3;
        let all = (0..asked).map(|_| passwords.verify(None, secret("x")));
        let all = futures_util::future::join_all(all).await;
        let full: Vec<&Failure> = all.iter().filter_map(|answer| answer.as_ref().err()).collect();
        assert!(!full.is_empty() && full.len() < asked, "{}", full.len());
        assert!(full.iter().all(|failure| failure.retry_after_seconds == Some(1)));
        assert_eq!(passwords.verify(None, secret("x")).await, Ok(false), "and then it is free again");
    }

    #[test]
    fn what_is_guessed_first_is_no_password() {
        for bad in
            ["short", "password", "12345678", "qwertyuiop", "iloveyou", "ada@acme.example", &"a".repeat(1025)]
        {
            let failure = may_be_chosen(bad, "ada@acme.example").unwrap_err();
            assert!(bad == "password" || !failure.what.contains(bad), "{failure}");
        }
        for good in [
            "correct horse battery",
            "Tr0ub4dor&3x",
            "\u{1f511}\u{1f6aa}\u{1f3e0}\u{1f9f1}\u{1f332}\u{1f30a}\u{1f525}\u{1f340}",
            &format!("x7{}", "long ".repeat(200)),
        ] {
            assert_eq!(may_be_chosen(good, "ada@acme.example"), Ok(()), "{good}");
        }
    }
}
