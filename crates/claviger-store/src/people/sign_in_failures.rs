//! How often somebody has tried to sign in and failed: counted before anything is hashed, and alike for accounts that there are and for
//! those that there are not (decision 16).

use aws_lc_rs::hmac;
use claviger::clock::UnixMillis;
use claviger::id::{RealmName, TenantId};

use crate::backend::{Bound, Tx};
use crate::email::Email;
use crate::error::StoreError;
use crate::noun::{Feed, Index, Noun, Rights, blob, int};
use crate::parts::accounts::Accounts;
use crate::statement::statements;
use crate::value::values;

/// How often somebody may fail within [`SPAN_SECONDS`].
pub const MOST: i64 = 10;
/// How often whoever is in one block of the network may fail within [`SPAN_SECONDS`], with whatever addresses. Who succeeds gives theirs
/// back, so that a whole office can sign in from there.
pub const MOST_OF_A_BLOCK: i64 = 300;
/// How often somebody may sign up from one block of the network within [`SPAN_SECONDS`]: each makes a tenant, and says whether an address
/// has an account.
pub const MOST_SIGN_UPS: i64 = 20;
/// How many mails somebody may ask for to one address within [`SPAN_SECONDS`], from wherever.
pub const MOST_MAILS: i64 = 5;
/// And to whatever addresses from one block of the network.
pub const MOST_MAILS_OF_A_BLOCK: i64 = 20;
/// How many invitations may go out from one block of the network, and into one tenant, within [`SPAN_SECONDS`].
pub const MOST_INVITATIONS: i64 = 100;
/// And to one address into one tenant.
pub const MOST_INVITATIONS_OF_ONE: i64 = 3;
/// How long a failure counts, and how long whoever has failed too often is kept out, in seconds.
pub const SPAN_SECONDS: i64 = 15 * 60;
/// How many old rows leave each time that somebody tries.
const LEAVE_AT_ONCE: i64 = 8;

/// The rows of failures.
pub(crate) static SIGN_IN_FAILURE_ROWS: Noun = Noun {
    table: "sign_in_failure",
    about: "How often an address was tried from a block of the network without success. `whose` is a MAC: nobody reads addresses here.",
    columns: &[blob("whose"), int("tries"), int("since")],
    key: &["whose"],
    references: &[],
    indices: &[Index::Plain("sign_in_failure_by_age", "since")],
    tenant: Rights::NONE,
    jobs: Rights { delete: true, ..Rights::CHANGE },
    feed: Feed::Silent,
    fixed_but: None,
    grows_by: None,
};

statements! { "sign-in";
    SIGN_IN_LEAVE: System [Int, Int]
        "DELETE FROM sign_in_failure WHERE whose IN
             (SELECT whose FROM sign_in_failure WHERE since < $1 ORDER BY since LIMIT $2)";
    /// Counts a try; one after the span begins anew. Of many at once each counts.
    SIGN_IN_TRY: System [Blob, Int, Int]
        "INSERT INTO sign_in_failure (whose, tries, since) VALUES ($1, 1, $2)
         ON CONFLICT (whose) DO UPDATE SET
             tries = CASE WHEN sign_in_failure.since < $3 THEN 1 ELSE sign_in_failure.tries + 1 END,
             since = CASE WHEN sign_in_failure.since < $3 THEN $2 ELSE sign_in_failure.since END
         RETURNING tries, since";
    SIGN_IN_DONE: System [Blob] "DELETE FROM sign_in_failure WHERE whose = $1";
    SIGN_IN_GIVE_BACK: System [Blob] "UPDATE sign_in_failure SET tries = tries - 1 WHERE whose = $1 AND tries > 0";
}

/// Somebody who tries to sign in, as far as tries are counted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trying {
    whose: Vec<u8>,
    most: i64,
    /// Whoever else it is counted for, and how often they may.
    beside: Vec<(Vec<u8>, i64)>,
}

impl Accounts {
    /// Whoever tries this address from that block of the network.
    pub fn trying(&self, realm: &RealmName, email: &Email, block: &str) -> Trying {
        // None of the first two has a NUL in it, and none is empty.
        let whose = self.mac(&format!("{realm}\0{}\0{block}", email.key()));
        let beside = self.mac(&format!("{realm}\0\0\0{block}"));
        Trying { whose, most: MOST, beside: vec![(beside, MOST_OF_A_BLOCK)] }
    }

    /// Whoever signs up from that block of the network, with whatever address.
    pub fn signing_up(&self, realm: &RealmName, block: &str) -> Trying {
        // No address is empty.
        Trying { whose: self.mac(&format!("{realm}\0\0{block}")), most: MOST_SIGN_UPS, beside: Vec::new() }
    }

    /// Whoever asks for mail to this address, or from that block of the network.
    pub fn mailing(&self, realm: &RealmName, email: &Email, block: &str) -> Trying {
        let whose = self.mac(&format!("{realm}\0mail\0{}", email.key()));
        let beside = self.mac(&format!("{realm}\0mail\0\0{block}"));
        Trying { whose, most: MOST_MAILS, beside: vec![(beside, MOST_MAILS_OF_A_BLOCK)] }
    }

    /// Whoever invites this address into that tenant, or others from that block of the network or into that tenant. Counted apart from mail
    /// that people ask for themselves, so that nobody is kept from their password by somebody who invites them.
    pub fn inviting(&self, tenant: TenantId, email: &Email, block: &str) -> Trying {
        let whose = self.mac(&format!("invite\0{}\0{tenant}", email.key()));
        let of_block = self.mac(&format!("invite\0\0{block}"));
        let of_tenant = self.mac(&format!("invite\0\0\0{tenant}"));
        let to_address = self.mac(&format!("invite\0\0\0\0{}", email.key()));
        let beside =
            vec![(to_address, MOST_MAILS), (of_block, MOST_INVITATIONS), (of_tenant, MOST_INVITATIONS)];
        Trying { whose, most: MOST_INVITATIONS_OF_ONE, beside }
    }

    /// A MAC that addresses are found by, and not read from.
    pub(super) fn mac(&self, text: &str) -> Vec<u8> {
        let key = self.inner.keyring.mac_key("sign-in-failures");
        hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
    }

    /// Counts a try, before anything else is done about it. Gives when to come back, if there were too many.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn sign_in_try(&self, trying: Trying) -> Result<Option<UnixMillis>, StoreError> {
        let work = async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            let old = now.plus_seconds(-SPAN_SECONDS);
            tx.run(&SIGN_IN_LEAVE, values![old, LEAVE_AT_ONCE]).await?;
            let mut until = None;
            let beside = trying.beside.iter().map(|(whose, most)| (whose, *most));
            for (whose, most) in std::iter::once((&trying.whose, trying.most)).chain(beside) {
                let row = tx.run_one(&SIGN_IN_TRY, values![whose.as_slice(), now, old]).await?;
                let mut columns = row.ok_or(StoreError::Corrupt { what: "sign-in" })?.read();
                let (tries, since): (i64, UnixMillis) = (columns.int()?, columns.time()?);
                until = until.max((tries > most).then(|| since.plus_seconds(SPAN_SECONDS)));
            }
            Ok(until)
        };
        self.write_in(Bound::System("accounts"), work).await
    }

    /// Forgets the tries of somebody who has signed in, and gives back the one that was counted for their block.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn sign_in_done(&self, trying: Trying) -> Result<(), StoreError> {
        let work = async move |tx: &mut Tx<'_>| {
            // In the order in which they are counted: of two at once neither waits for the other.
            tx.run(&SIGN_IN_DONE, values![trying.whose.as_slice()]).await?;
            for (whose, _) in &trying.beside {
                tx.run(&SIGN_IN_GIVE_BACK, values![whose.as_slice()]).await?;
            }
            Ok(())
        };
        self.write_in(Bound::System("accounts"), work).await
    }
}
