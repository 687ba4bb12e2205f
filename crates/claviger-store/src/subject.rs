//! What a row of the change feed is about.

pub use claviger::directory::{OwnedSubject as Subject, Record};
use claviger::for_each_record;

use crate::noun::Name;

/// What a read of one subject found.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What was asked for.
    pub subject: Subject,
    /// The row's version and the record; `None` if there is no such row.
    pub found: Option<(i64, Record)>,
}

/// A row of the feed: `subject` has reached `version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What changed.
    pub subject: Subject,
    /// Its row version from now on. Grows by at least one with each change.
    pub version: i64,
}

/// A feed row that names nothing we know: written by a newer version of the program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the change feed names an unknown subject of kind `{kind}`")]
pub struct UnknownSubject {
    kind: String,
}

macro_rules! in_feed {
    ($($(#[$doc:meta])* $look_up:ident: $kind:ident($($part:ident: $kept:ty as $lent:ty),+) => $record:ty;)*) => {
        /// The `id` column of the feed: the parts, joined by line feeds; a digest in lower-case hexadecimal.
        #[cfg(test)]
        fn id(subject: &Subject) -> String {
            match subject.clone() {
                $(Subject::$kind($($part),+) => ($($part,)+).in_feed(),)*
                Subject::RevokedToken(tenant, token) => (tenant, token).in_feed(),
            }
        }

        /// Reads the two columns of the feed: [`Subject::kind`], and the parts of the name.
        ///
        /// # Errors
        /// If they name nothing we know.
        pub(crate) fn read(kind: &str, id: &str) -> Result<Subject, UnknownSubject> {
            let read = match kind {
                $(stringify!($look_up) => {
                    <($($kept,)+)>::from_feed(id).map(|($($part,)+)| Subject::$kind($($part),+))
                })*
                "revoked_token" => {
                    Name::from_feed(id).map(|(tenant, token)| Subject::RevokedToken(tenant, token))
                }
                _ => None,
            };
            read.ok_or_else(|| UnknownSubject { kind: kind.to_owned() })
        }

        /// The text that others chose in the name of `subject`, in bytes.
        pub(crate) fn chosen_length(subject: &Subject) -> usize {
            match subject {
                $(Subject::$kind($($part),+) => 0 $(+ crate::noun::InFeed::chosen($part).map_or(0, str::len))+,)*
                Subject::RevokedToken(..) => 0,
            }
        }
    };
}
for_each_record!(in_feed);

#[cfg(test)]
mod tests {
    use claviger::api_key::KeyDigest;
    use claviger::id::{AccountId, OrgId, SessionId, TenantId, TokenId};
    use claviger::testing::Counting;

    use super::*;
    use crate::credentials::revoked_tokens::REVOKED_TOKEN_ROWS;
    use crate::feed::FEED_VERSION;
    use crate::noun::{Feed, Noun, Recorded};
    use crate::nouns::NOUNS;

    #[test]
    fn every_subject_reads_back_from_the_feed() {
        let random = Counting::default();
        let (tenant, org) = (TenantId::generate(&random), OrgId::generate(&random));
        let account = AccountId::generate(&random);
        for subject in [
            Subject::Key(KeyDigest::from_bytes(&[0xa5; 32]).unwrap()),
            Subject::Tenant(tenant),
            Subject::Org(tenant, org),
            Subject::Account(account),
            Subject::Member(tenant, org, account),
            Subject::Session(tenant, SessionId::generate(&random)),
            Subject::UserSecret("us_abc".into()),
            Subject::ForeignIdentity(tenant, "https://id.example".into(), "someone".into()),
            Subject::Annotation(tenant, "member".into(), format!("{org}/{account}").into()),
            Subject::IdentityKey("synq".parse().unwrap(), "id_1".into()),
            Subject::RevokedToken(tenant, TokenId::generate(&random)),
        ] {
            assert_eq!(read(subject.kind(), &id(&subject)).unwrap(), subject);
        }
        assert!(read("planet", "mars").is_err());
        assert!(read("tenant", "mars").is_err());
        assert!(read("tenant", &format!("{tenant}\n{org}")).is_err(), "nothing is left over");
    }

    macro_rules! declared_kinds {
        ($($(#[$doc:meta])* $look_up:ident: $kind:ident($($part:ident: $kept:ty as $lent:ty),+) => $record:ty;)*) => {
            [$((stringify!($look_up), <$record as Recorded>::ROWS.noun.kind())),*]
        };
    }

    #[test]
    fn the_feed_calls_a_noun_what_decisions_call_it() {
        for (called, declared) in for_each_record!(declared_kinds) {
            assert_eq!(called, declared);
        }
        assert_eq!(REVOKED_TOKEN_ROWS.kind(), "revoked_token");
        let since = |noun: &&Noun| if let Feed::Tells { since, .. } = noun.feed { since } else { 1 };
        let newest = NOUNS.iter().map(since).max();
        assert_eq!(newest, Some(FEED_VERSION), "a new kind of line is what older programs pass over");
    }
}
