//! Reads records for a node's memory: one query per kind of subject, whatever their number.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use claviger::for_each_record;

use crate::backend::Tx;
use crate::credentials::revoked_tokens;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::noun::{Name, Recorded};
use crate::statement::Statement;
use crate::subject::{Loaded, Record, Subject};
use crate::value::{Columns, values};

/// What was read of a subject: its version and its record, or that its row is unreadable.
type Read = HashMap<Subject, Option<(i64, Record)>>;

/// Reads the records of one kind that have these names.
async fn rows<N: Name>(
    tx: &mut Tx<'_>,
    statement: &'static Statement,
    names: Vec<N>,
    subject_of: impl Fn(N) -> Subject,
    record_of: impl Fn(&N, &mut Columns) -> Result<Record, StoreError>,
    found: &mut Read,
) -> Result<(), StoreError> {
    let names: Vec<_> = names.iter().filter(|name| name.can_exist()).map(Name::in_statement).collect();
    if names.is_empty() {
        return Ok(());
    }
    for row in tx.run(statement, values![serde_json::Value::from(names).to_string()]).await? {
        let mut columns = row.read();
        let name = N::from_columns(&mut columns)?;
        let read = columns.int().and_then(|version| Ok((version, record_of(&name, &mut columns)?)));
        let subject = subject_of(name);
        if let Err(error) = &read {
            tracing::warn!(kind = subject.kind(), %error, "a row is unreadable");
        }
        found.insert(subject, read.ok());
    }
    Ok(())
}

macro_rules! loads {
    ($($(#[$doc:meta])* $look_up:ident: $kind:ident($($part:ident: $kept:ty as $lent:ty),+) => $record:ty;)*) => {
        /// A statement for each kind of record.
        struct Loads {
            $($look_up: Statement,)*
            revoked_token: Statement,
        }

        static LOADS: LazyLock<Loads> = LazyLock::new(|| Loads {
            $($look_up: <$record as Recorded>::ROWS.load(concat!("LOAD_", stringify!($look_up))),)*
            revoked_token: revoked_tokens::ROWS.load("LOAD_revoked_token"),
        });

        /// The statements that follow from how nouns are declared.
        pub(crate) fn statements() -> impl Iterator<Item = &'static Statement> {
            let loads: &'static Loads = &LOADS;
            [$(&loads.$look_up,)* &loads.revoked_token].into_iter()
        }

        /// Reads these subjects, each once. A subject whose row cannot be read is left out: the others are not its affair,
        /// and an answer that there is no row would be wrong.
        ///
        /// # Errors
        /// If the store does not answer.
        pub(crate) async fn load(
            tx: &mut Tx<'_>,
            keyring: &Keyring,
            subjects: &[Subject],
        ) -> Result<Vec<Loaded>, StoreError> {
            let loads: &'static Loads = &LOADS;
            let mut found = Read::with_capacity(subjects.len());
            $({
                let names = subjects.iter().filter_map(|subject| match subject {
                    Subject::$kind($($part),+) => Some(($($part.clone(),)+)),
                    _ => None,
                });
                let subject_of = |($($part,)+)| Subject::$kind($($part),+);
                let record_of = |name: &_, columns: &mut _| {
                    <$record as Recorded>::read(name, columns, keyring).map(|record| Record::$kind(Arc::new(record)))
                };
                rows(tx, &loads.$look_up, names.collect(), subject_of, record_of, &mut found).await?;
            })*
            let names = subjects.iter().filter_map(|subject| match subject {
                Subject::RevokedToken(tenant, token) => Some((*tenant, *token)),
                _ => None,
            });
            let subject_of = |(tenant, token)| Subject::RevokedToken(tenant, token);
            let record_of = |_: &_, columns: &mut Columns| revoked_tokens::read(columns);
            rows(tx, &loads.revoked_token, names.collect(), subject_of, record_of, &mut found).await?;
            let loaded = |subject: &Subject| {
                let row = found.get(subject);
                let is_readable = row.is_none_or(Option::is_some);
                is_readable.then(|| Loaded { subject: subject.clone(), found: row.cloned().flatten() })
            };
            Ok(subjects.iter().filter_map(loaded).collect())
        }
    };
}
for_each_record!(loads);
