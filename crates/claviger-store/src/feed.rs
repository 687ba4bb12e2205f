//! The change feed, and the reads of a node's memory.
//!
//! On PostgreSQL commits have no order that a number could tell: a cursor is a snapshot, and the changes since
//! are those that it could not see. The origin is the server and its timeline: the one written to now, as the control
//! file names it only after the first checkpoint of a promoted server. On SQLite there is one writer, and the feed's own numbers are the order.

use std::sync::Arc;

use claviger::clock::UnixMillis;
use claviger::directory::DirectoryError;

use crate::backend::{Bound, FEED, Mode, Tx};
use crate::error::StoreError;
use crate::loads;
use crate::source::{Cursor, Poll, Source, SourceFuture};
use crate::statement::statements;
use crate::store::Inner;
use crate::subject::{Change, Loaded, Subject};
use crate::value::values;

statements! { "change";
    /// Position, origin, whether rows since `$1` may be gone, the clock, and one change or none. Rows are gone if
    /// what was swept saw a transaction that `$1` did not.
    FEED_SINCE: System [Text]
        "SELECT CAST(h.seq AS TEXT), 'sqlite',
             CASE WHEN CAST($1 AS INTEGER) < h.swept OR CAST($1 AS INTEGER) > h.seq THEN 1 ELSE 0 END,
             NULL, c.kind, c.id, c.row_version
         FROM (SELECT max(coalesce((SELECT max(seq) FROM change), 0), s.swept) AS seq, s.swept AS swept
               FROM (SELECT coalesce((SELECT CAST(value AS INTEGER) FROM store_meta WHERE name = 'swept_to'), 0) AS swept)
                   AS s) AS h
         LEFT JOIN change AS c ON c.seq > CAST($1 AS INTEGER)"
        postgres "SELECT h.snapshot, h.origin, h.forget, h.now, c.kind, c.id, c.row_version
         FROM (SELECT CAST(pg_current_snapshot() AS text) AS snapshot,
                   CAST((SELECT system_identifier FROM pg_control_system()) AS text) || '/'
                       || left(pg_walfile_name(pg_current_wal_lsn()), 8) AS origin,
                   CAST(CASE WHEN pg_snapshot_xmax(CAST($1 AS pg_snapshot)) > pg_snapshot_xmax(pg_current_snapshot())
                       OR EXISTS (
                           SELECT 1 FROM store_meta AS m WHERE m.name = 'swept_to' AND (
                               pg_snapshot_xmax(CAST(m.value AS pg_snapshot)) > pg_snapshot_xmax(CAST($1 AS pg_snapshot))
                               OR EXISTS (SELECT 1 FROM pg_snapshot_xip(CAST($1 AS pg_snapshot)) AS x(xid)
                                   WHERE pg_visible_in_snapshot(x.xid, CAST(m.value AS pg_snapshot)))))
                       THEN 1 ELSE 0 END AS bigint) AS forget,
                   CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint) AS now) AS h
         LEFT JOIN change AS c ON c.xid >= pg_snapshot_xmin(CAST($1 AS pg_snapshot))
             AND NOT pg_visible_in_snapshot(c.xid, CAST($1 AS pg_snapshot))";
    /// Position, origin and clock.
    FEED_HERE: System []
        "SELECT CAST(max(coalesce((SELECT max(seq) FROM change), 0),
             coalesce((SELECT CAST(value AS INTEGER) FROM store_meta WHERE name = 'swept_to'), 0)) AS TEXT), 'sqlite', NULL"
        postgres "SELECT CAST(pg_current_snapshot() AS text),
             CAST((SELECT system_identifier FROM pg_control_system()) AS text) || '/'
                 || left(pg_walfile_name(pg_current_wal_lsn()), 8),
             CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)";
    FEED_REVOKED: System [Int]
        "SELECT tenant_id, token_id, row_version, expires_at FROM revoked_token WHERE expires_at > $1";
}

/// A store as a node's memory sees it.
#[derive(Debug)]
pub(crate) struct Feed {
    inner: Arc<Inner>,
}

/// A cursor's parts: the store, the server and its timeline, and how far.
pub(crate) struct Place {
    origin: String,
    pub(crate) position: String,
}

impl Feed {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    fn spell(&self, place: &Place) -> Cursor {
        Cursor(format!("{} {} {}", self.inner.id, place.origin, place.position))
    }

    /// `None` for a cursor of another store.
    fn parse(&self, cursor: &Cursor) -> Option<Place> {
        let rest = cursor.0.strip_prefix(self.inner.id.as_str())?.strip_prefix(' ')?;
        let (origin, position) = rest.split_once(' ')?;
        Some(Place { origin: origin.to_owned(), position: position.to_owned() })
    }

    fn ask<T, F>(&self, work: F) -> SourceFuture<T>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let answer = inner.run(FEED, Mode::Read, work).await;
            answer.map_err(|error| DirectoryError::Unavailable(error.to_string()))
        })
    }
}

/// Where the feed is now, and the store's clock.
pub(crate) async fn here(tx: &mut Tx<'_>, local: UnixMillis) -> Result<(Place, UnixMillis), StoreError> {
    let row = tx.run_one(&FEED_HERE, &[]).await?.ok_or(StoreError::Corrupt { what: "change" })?;
    let mut columns = row.read();
    let place = Place { position: columns.text()?, origin: columns.text()? };
    Ok((place, columns.maybe_time()?.unwrap_or(local)))
}

/// What one poll found, before its cursor is spelt.
struct Since {
    place: Place,
    changes: Vec<Change>,
    forget_all: bool,
    store_now: UnixMillis,
}

async fn since(tx: &mut Tx<'_>, after: &Place, local: UnixMillis) -> Result<Since, StoreError> {
    let mut found = None;
    for row in tx.run(&FEED_SINCE, values![&after.position]).await? {
        let mut columns = row.read();
        let place = Place { position: columns.text()?, origin: columns.text()? };
        let (gone, now) = (columns.truth()?, columns.maybe_time()?.unwrap_or(local));
        let since = found.get_or_insert_with(|| {
            // Another server or timeline: what it has committed cannot be compared with what we have seen.
            let forget_all = gone || place.origin != after.origin;
            Since { place, changes: Vec::new(), forget_all, store_now: now }
        });
        let (Some(kind), Some(id)) = (columns.maybe_text()?, columns.maybe_text()?) else { continue };
        match Subject::read(&kind, &id) {
            Ok(subject) => since.changes.push(Change { subject, version: columns.int()? }),
            Err(_) => since.forget_all = true,
        }
    }
    found.ok_or(StoreError::Corrupt { what: "change" })
}

impl Source for Feed {
    fn load(&self, subjects: Vec<Subject>) -> SourceFuture<Vec<Loaded>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let mut answers = Vec::with_capacity(subjects.len());
            // A question that fails of itself is asked again in halves, so that of 256 subjects of many tenants one
            // fails alone. A store that does not answer is not asked again.
            let mut parts = vec![subjects];
            while let Some(part) = parts.pop() {
                let (asked, keys) = (part.clone(), Arc::clone(&inner));
                let work = async move |tx: &mut Tx<'_>| loads::load(tx, &keys.keyring, &asked).await;
                match inner.run(Bound::System("directory"), Mode::Read, work).await {
                    Ok(loaded) => answers.extend(loaded),
                    Err(error @ StoreError::Unavailable { .. }) => {
                        return Err(DirectoryError::Unavailable(error.to_string()));
                    }
                    Err(error) => match part.split_at(part.len() / 2) {
                        ([], rest) => {
                            let kind = rest.first().map(Subject::kind);
                            tracing::warn!(kind, %error, "a row is unreadable");
                        }
                        (first, second) => parts.extend([second.to_vec(), first.to_vec()]),
                    },
                }
            }
            Ok(answers)
        })
    }

    fn poll(&self, after: Cursor) -> SourceFuture<Poll> {
        let feed = Self { inner: Arc::clone(&self.inner) };
        let local = self.inner.now();
        self.ask(async move |tx: &mut Tx<'_>| {
            let Some(after) = feed.parse(&after) else {
                let (place, store_now) = here(tx, local).await?;
                return Ok(Poll {
                    changes: Vec::new(),
                    cursor: feed.spell(&place),
                    forget_all: true,
                    store_now,
                });
            };
            let Since { place, changes, forget_all, store_now } = since(tx, &after, local).await?;
            let changes = if forget_all { Vec::new() } else { changes };
            Ok(Poll { changes, cursor: feed.spell(&place), forget_all, store_now })
        })
    }

    fn revoked_tokens(&self) -> SourceFuture<(Vec<Loaded>, Cursor)> {
        let feed = Self { inner: Arc::clone(&self.inner) };
        let now = self.inner.now();
        self.ask(async move |tx: &mut Tx<'_>| {
            let keyring = &feed.inner.keyring;
            // The cursor first: a token revoked between the two reads is then in both, and not in neither.
            let (place, _) = here(tx, now).await?;
            let mut tokens = Vec::new();
            for row in
                tx.run(&FEED_REVOKED, values![now.plus_seconds(-claviger::clock::LEEWAY_SECONDS)]).await?
            {
                tokens.push(loads::revoked_token(&mut row.read(), keyring)?);
            }
            Ok((tokens, feed.spell(&place)))
        })
    }
}
