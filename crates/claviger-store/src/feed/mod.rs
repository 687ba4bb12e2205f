//! The change feed, and the reads of a node's memory.
//!
//! On PostgreSQL commits have no order that a number could tell: a cursor is a snapshot, and the changes since are those
//! that it could not see. That holds only for the server, the timeline and the epoch that the snapshot is of: crash
//! recovery and promotion give out transaction ids again. So every poll and every read brings the *origin* it was
//! answered from (`feed_origin` in `migrations/postgres/0003_origin.sql`), in its own snapshot; a poll from another one
//! empties the memory, and a read from another one than the feed's is refused. On SQLite there is one writer, and the
//! feed's own numbers are the order.

pub(crate) mod failover;
pub mod follower;
pub mod leases;
pub(crate) mod loads;
pub(crate) mod make_good;
pub mod nodes;
pub mod open_transaction;
pub mod source;
pub mod sweep;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use claviger::clock::UnixMillis;
use claviger::directory::DirectoryError;

use crate::backend::postgres::check;
use crate::backend::{Bound, DIRECTORY, FEED, Mode, Tx};
use crate::credentials::revoked_tokens;
use crate::error::StoreError;
use crate::feed::make_good::make_good;
use crate::feed::nodes::NODE_APPLIED;
use crate::feed::source::{Cursor, Forget, Poll, Source, SourceFuture, WALLS_EVERY_MILLIS};
use crate::parts::inner::Inner;
use crate::statement::statements;
use crate::subject::{self, Change, Loaded, Subject};
use crate::value::{Value, values};

/// Which kinds of change this program knows: those of the nouns whose `since` is no later.
pub(crate) const FEED_VERSION: i64 = 2;

/// How many changes a poll reads at most. Who is further behind forgets everything, which costs less than to hear it.
pub(crate) const MAX_CHANGES_PER_POLL: usize = 20_000;

statements! { "change";
    /// Position, whether rows since `$1` may be gone, the clock, whether this is the feed's home, whether somebody waits for
    /// this node, the mark of the walls and the peppers there are if `$3` asks for it, and of the changes since
    /// `$1` none, or `$2` at most. Rows are gone if what was swept saw a transaction that `$1` did not. Those that `$1` could
    /// not see are of the transactions that were under way then, and of those that began later: an index finds either, however
    /// long one of them stays open. (Of `xid = x.xid` a planner that has seen one transaction write most of the table would
    /// make a scan of all of it.)
    FEED_SINCE: System [Text, Int, Int]
        "SELECT CAST(h.seq AS TEXT),
             CASE WHEN CAST($1 AS INTEGER) < h.swept OR CAST($1 AS INTEGER) > h.seq THEN 1 ELSE 0 END,
             NULL, 1, 0, CASE WHEN $3 = 1 THEN '' END, NULL, c.kind, c.id, c.row_version, c.needs
         FROM (SELECT max(coalesce((SELECT max(seq) FROM change), 0), s.swept) AS seq, s.swept AS swept
               FROM (SELECT coalesce((SELECT CAST(value AS INTEGER) FROM store_meta WHERE name = 'swept_to'), 0) AS swept)
                   AS s) AS h
         LEFT JOIN (SELECT kind, id, row_version, needs FROM change WHERE seq > CAST($1 AS INTEGER) ORDER BY seq LIMIT $2) AS c
             ON 1 = 1"
        postgres "SELECT h.snapshot, h.forget, h.now, h.is_home, h.is_waited_for, h.walls, h.peppers, c.kind, c.id, c.row_version, c.needs
         FROM (SELECT CAST(pg_current_snapshot() AS text) AS snapshot,
                   CAST(CASE WHEN pg_snapshot_xmax(CAST($1 AS pg_snapshot)) > pg_snapshot_xmax(pg_current_snapshot())
                       OR EXISTS (
                           SELECT 1 FROM store_meta AS m WHERE m.name = 'swept_to' AND (
                               pg_snapshot_xmax(CAST(m.value AS pg_snapshot)) > pg_snapshot_xmax(CAST($1 AS pg_snapshot))
                               OR EXISTS (SELECT 1 FROM pg_snapshot_xip(CAST($1 AS pg_snapshot)) AS x(xid)
                                   WHERE pg_visible_in_snapshot(x.xid, CAST(m.value AS pg_snapshot)))))
                       THEN 1 ELSE 0 END AS bigint) AS forget,
                   claviger_now() AS now,
                   (SELECT count(*) FROM store_meta AS m WHERE m.name = 'home' AND m.value = feed_home()) AS is_home,
                   (SELECT count(*) FROM node_wait AS w WHERE w.at > claviger_now() - 15000) AS is_waited_for,
                   CASE WHEN $3 = 1 THEN walls_mark() END AS walls,
                   CASE WHEN $3 = 1 THEN (SELECT string_agg(k.key_id, ' ') FROM keyring_check AS k WHERE k.kind = 'pepper') END
                       AS peppers) AS h
         LEFT JOIN (
             (SELECT kind, id, row_version, needs FROM change
              WHERE xid >= pg_snapshot_xmax(CAST($1 AS pg_snapshot)) ORDER BY xid LIMIT $2)
             UNION ALL
             (SELECT o.kind, o.id, o.row_version, o.needs FROM pg_snapshot_xip(CAST($1 AS pg_snapshot)) AS x(xid)
              CROSS JOIN LATERAL (SELECT kind, id, row_version, needs FROM change
                  WHERE xid >= x.xid AND xid <= x.xid ORDER BY xid LIMIT $2) AS o LIMIT $2)
             ) AS c ON true";
    /// Position, clock, whether this is the feed's home, and the mark of the walls if `$1` asks for it.
    FEED_HERE: System [Int]
        "SELECT CAST(max(coalesce((SELECT max(seq) FROM change), 0),
             coalesce((SELECT CAST(value AS INTEGER) FROM store_meta WHERE name = 'swept_to'), 0)) AS TEXT), NULL, 1,
             CASE WHEN $1 = 1 THEN '' END"
        postgres "SELECT CAST(pg_current_snapshot() AS text), claviger_now(),
             (SELECT count(*) FROM store_meta AS m WHERE m.name = 'home' AND m.value = feed_home()),
             CASE WHEN $1 = 1 THEN walls_mark() END";
    FEED_EPOCH: System [] "SELECT 1" postgres "SELECT begin_epoch()";
    /// Whether this is the feed's home, and the home that it is in.
    FEED_IS_HOME: System [] "SELECT 1"
        postgres "SELECT count(*) FROM store_meta AS m WHERE m.name = 'home' AND m.value = feed_home()";
    FEED_TAKE_HOME: System [] "SELECT 1" postgres "SELECT take_home()";
}

/// A store as a node's memory sees it.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    inner: Arc<Inner>,
    /// The origin of the answers that the memory has.
    followed: Arc<Mutex<Option<String>>>,
    /// Whether a read was answered from elsewhere: then the feed's own connection may be the one that leads astray.
    is_doubtful: Arc<AtomicBool>,
    /// How often a wall was found down: part of their mark, which can be again what it was before.
    falls: Arc<AtomicU64>,
}

/// A cursor's parts beside the store: the feed's origin, the mark that the walls had, when they had it, and how far.
struct Place {
    origin: String,
    walls: String,
    /// By this node's boot clock.
    walls_at: u64,
    position: String,
}

/// Where the feed is now.
struct Here {
    place: Place,
    store_now: UnixMillis,
}

/// What a unit of the feed found.
enum Answer<T> {
    Found(T),
    /// The server has come back from a crash, or has been promoted: nobody has said that its feed begins.
    NoEpoch,
}

/// What the store says of a database that came out of a dump, or of another server's files.
const RESTORED: &str =
    "the database is another server's, or was restored; look at it, then run `claviger store accept`";

impl Feed {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self { inner, followed: Arc::default(), is_doubtful: Arc::default(), falls: Arc::default() }
    }

    fn spell(&self, place: &Place) -> Cursor {
        let Place { origin, walls, walls_at, position } = place;
        Cursor(format!("{} {origin} {walls} {walls_at} {position}", self.inner.id))
    }

    /// `None` for a cursor of another store.
    fn parse(&self, cursor: &Cursor) -> Option<Place> {
        let rest = cursor.0.strip_prefix(self.inner.id.as_str())?.strip_prefix(' ')?;
        let (origin, rest) = rest.split_once(' ')?;
        let (walls, rest) = rest.split_once(' ')?;
        let (walls_at, position) = rest.split_once(' ')?;
        Some(Place {
            origin: origin.to_owned(),
            walls: walls.to_owned(),
            walls_at: walls_at.parse().ok()?,
            position: position.to_owned(),
        })
    }

    /// Asks, and begins an epoch first where the server has none.
    async fn ask<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<Answer<T>, StoreError> + Clone + Send + 'static,
        T: Send + 'static,
    {
        if let Answer::Found(found) = self.inner.run(FEED, Mode::Read, work.clone()).await? {
            return Ok(found);
        }
        let begin = async |tx: &mut Tx<'_>| tx.run(&FEED_EPOCH, &[]).await.map(drop);
        self.inner.run(FEED, Mode::Write, begin).await?;
        match self.inner.run(FEED, Mode::Read, work).await? {
            Answer::Found(found) => Ok(found),
            Answer::NoEpoch => Err(StoreError::unavailable("the change feed does not begin")),
        }
    }

    /// Notes where the memory's answers come from. Gives where they came from before, if that is another place.
    fn follow(&self, origin: &str) -> Option<String> {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = followed.replace(origin.to_owned());
        before.filter(|before| before != origin)
    }

    /// Whether the memory's answers have come from another place.
    fn is_elsewhere(&self, origin: &str) -> bool {
        let followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        followed.as_deref().is_some_and(|followed| followed != origin)
    }

    /// Whether a read that was answered from `origin` belongs to what is followed.
    fn is_followed(&self, origin: Option<&str>) -> bool {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        match (origin, &*followed) {
            (Some(origin), Some(followed)) => origin == followed,
            (Some(origin), None) => {
                // Read before the feed was: the first poll then tells whether it comes from here too.
                *followed = Some(origin.to_owned());
                true
            }
            (None, _) => false,
        }
    }
}

impl Feed {
    fn boot(&self) -> u64 {
        self.inner.store_clock().boot().0
    }

    /// The mark of the walls, and how often one was down.
    fn marked(&self, mark: &str) -> String {
        format!("{mark}.{}", self.falls.load(Ordering::SeqCst))
    }

    /// Looks at the walls, because nothing is known of them, or their mark is another one than before.
    ///
    /// # Errors
    /// If one of them is down: nothing is believed until it is up again, nor then what was remembered.
    async fn look_at_walls(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        if tx.is_embedded() {
            return Ok(());
        }
        let found = check::walls_stand(tx).await;
        if matches!(found, Err(StoreError::Setup(_))) {
            self.falls.fetch_add(1, Ordering::SeqCst);
        }
        found
    }
}

fn unavailable(error: StoreError) -> DirectoryError {
    match error {
        StoreError::Setup(why) => DirectoryError::Distrusted(why),
        other => DirectoryError::Unavailable(other.to_string()),
    }
}

/// How far the feed is now, and the store's clock.
pub(crate) async fn position(tx: &mut Tx<'_>) -> Result<(String, UnixMillis), StoreError> {
    let (position, store_now, _) = position_and_walls(tx, false).await?;
    Ok((position, store_now))
}

async fn position_and_walls(
    tx: &mut Tx<'_>,
    asks: bool,
) -> Result<(String, UnixMillis, Option<String>), StoreError> {
    let row = tx.run_one(&FEED_HERE, values![i64::from(asks)]).await?;
    let row = row.ok_or(StoreError::Corrupt { what: "change" })?;
    let mut columns = row.read();
    let (position, store_now) = (columns.text()?, columns.maybe_time()?);
    if columns.int()? == 0 {
        return Err(StoreError::Setup(RESTORED.to_owned()));
    }
    let walls = columns.maybe_text()?;
    let store_now = match store_now {
        Some(now) => now,
        None => tx.now().await?,
    };
    Ok((position, store_now, walls))
}

/// Where the feed is now; nothing while it has no epoch.
async fn here(feed: &Feed, tx: &mut Tx<'_>) -> Result<Option<Here>, StoreError> {
    let (position, store_now, walls) = position_and_walls(tx, true).await?;
    let (walls, walls_at) = (feed.marked(&walls.unwrap_or_default()), feed.boot());
    feed.look_at_walls(tx).await?;
    let place = |origin: &str| Place { origin: origin.to_owned(), walls, walls_at, position };
    Ok(tx.origin().map(place).map(|place| Here { place, store_now }))
}

/// What one poll found, before its cursor is spelt.
struct Since {
    place: Place,
    changes: Vec<Change>,
    forget: Forget,
    is_outdated: bool,
    is_waited_for: bool,
    store_now: UnixMillis,
    /// The names of all peppers there are, if they were asked for.
    peppers: Option<String>,
}

async fn since(feed: &Feed, tx: &mut Tx<'_>, after: &Place) -> Result<Option<Since>, StoreError> {
    let most = i64::try_from(MAX_CHANGES_PER_POLL).unwrap_or(i64::MAX);
    let boot = feed.boot();
    let asks = boot.saturating_sub(after.walls_at) >= WALLS_EVERY_MILLIS;
    let params = values![&after.position, most.saturating_add(1), i64::from(asks)];
    let rows = tx.run(&FEED_SINCE, params).await?;
    let Some(origin) = tx.origin().map(str::to_owned) else { return Ok(None) };
    let is_too_many = rows.len() > MAX_CHANGES_PER_POLL;
    let embedded_now = if tx.is_embedded() { Some(tx.now().await?) } else { None };
    let mut found: Option<Since> = None;
    for row in rows {
        let mut columns = row.read();
        let position = columns.text()?;
        let (gone, now) = (columns.truth()?, columns.maybe_time()?.or(embedded_now).unwrap_or_default());
        if columns.int()? == 0 {
            return Err(StoreError::Setup(RESTORED.to_owned()));
        }
        let is_waited_for = columns.int()? > 0;
        let (walls, walls_at) = match columns.maybe_text()? {
            Some(mark) => (feed.marked(&mark), boot),
            None => (after.walls.clone(), after.walls_at),
        };
        let peppers = columns.maybe_text()?;
        let may_have_been_down = walls != after.walls;
        let since = found.get_or_insert_with(|| Since {
            place: Place { origin: origin.clone(), walls, walls_at, position },
            changes: Vec::new(),
            // Another server, timeline or epoch: what it has committed cannot be compared with what we have seen.
            // And where walls were down, changes may have gone by without a line in the feed.
            forget: match (origin == after.origin, gone || is_too_many || may_have_been_down) {
                (false, _) => Forget::Origin,
                (true, true) => Forget::Everything,
                (true, false) => Forget::Nothing,
            },
            is_outdated: false,
            is_waited_for,
            store_now: now,
            peppers,
        });
        let (Some(kind), Some(id)) = (columns.maybe_text()?, columns.maybe_text()?) else { continue };
        let (version, needs) = (columns.int()?, columns.int()?);
        match subject::read(&kind, &id) {
            Ok(subject) => since.changes.push(Change { subject, version }),
            // A newer program's, of no meaning to this one unless it says so.
            Err(_) => since.is_outdated |= needs <= FEED_VERSION,
        }
    }
    let found = found.ok_or(StoreError::Corrupt { what: "change" })?;
    if found.place.walls != after.walls {
        // The mark was read before: what changes after it has another one.
        feed.look_at_walls(tx).await?;
    }
    Ok(Some(found))
}

impl Source for Feed {
    fn load(&self, subjects: Vec<Subject>) -> SourceFuture<Vec<Loaded>> {
        let feed = self.clone();
        Box::pin(async move {
            let mut answers = Vec::with_capacity(subjects.len());
            // A question that fails of itself is asked again in halves, so that of 256 subjects of many tenants one
            // fails alone. A store that does not answer is not asked again.
            let mut parts = vec![subjects];
            while let Some(part) = parts.pop() {
                let (asked, feed_of) = (part.clone(), feed.clone());
                let work = async move |tx: &mut Tx<'_>| {
                    let loaded = loads::load(tx, &feed_of.inner.keyring, &asked).await?;
                    if tx.has_run() && !feed_of.is_followed(tx.origin()) {
                        // This connection leads to another server, or to one that has been down.
                        tx.discard();
                        feed_of.is_doubtful.store(true, Ordering::SeqCst);
                        return Err(StoreError::unavailable(
                            "the server is not the one whose changes are followed",
                        ));
                    }
                    Ok(loaded)
                };
                match feed.inner.run(DIRECTORY, Mode::Read, work).await {
                    Ok(loaded) => answers.extend(loaded),
                    Err(error @ StoreError::Unavailable { .. }) => return Err(unavailable(error)),
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
        let feed = self.clone();
        Box::pin(async move {
            let after = Arc::new(feed.parse(&after));
            let is_doubtful = feed.is_doubtful.swap(false, Ordering::SeqCst);
            let feed_of = feed.clone();
            let since = feed
                .ask(async move |tx: &mut Tx<'_>| {
                    if is_doubtful {
                        // The next poll connects anew, to whichever server may be written to.
                        tx.discard();
                    }
                    let found = match &*after {
                        Some(after) => since(&feed_of, tx, after).await?,
                        None => here(&feed_of, tx).await?.map(|Here { place, store_now }| Since {
                            place,
                            changes: Vec::new(),
                            forget: Forget::Origin,
                            is_outdated: false,
                            is_waited_for: false,
                            store_now,
                            peppers: None,
                        }),
                    };
                    Ok(found.map_or(Answer::NoEpoch, Answer::Found))
                })
                .await
                .map_err(unavailable)?;
            let Since { place, changes, mut forget, is_outdated, is_waited_for, store_now, peppers } = since;
            if feed.is_elsewhere(&place.origin) {
                forget = Forget::Origin;
            }
            if forget == Forget::Origin {
                // Another server may lack what the last one had acknowledged. Until it is done again nothing is believed: the
                // cursor was taken before, so that its changes are heard of.
                make_good(&feed.inner, &place.origin).await.map_err(unavailable)?;
            }
            // Only now are reads of there answered.
            let _before = feed.follow(&place.origin);
            let changes = if forget == Forget::Nothing { changes } else { Vec::new() };
            let lacking_peppers = peppers.map(|names| feed.inner.keyring.lacking(names.split(' ')));
            let cursor = feed.spell(&place);
            Ok(Poll { changes, cursor, forget, is_outdated, is_waited_for, store_now, lacking_peppers })
        })
    }

    fn acknowledge(&self, cursor: Cursor) -> SourceFuture<()> {
        let feed = self.clone();
        Box::pin(async move {
            let (Some(node), Some(place)) = (feed.inner.node.get().copied(), feed.parse(&cursor)) else {
                return Ok(());
            };
            let work = async move |tx: &mut Tx<'_>| {
                let params = values![Value::Uuid(node), &place.origin, &place.position];
                tx.run(&NODE_APPLIED, params).await.map(drop)
            };
            // Not in the feed's lane: the next poll does not wait for it.
            feed.inner.run(Bound::System("node"), Mode::Write, work).await.map_err(unavailable)
        })
    }

    fn revoked_tokens(&self) -> SourceFuture<(Vec<Loaded>, Cursor)> {
        let feed = self.clone();
        Box::pin(async move {
            let feed_of = feed.clone();
            let (tokens, mut place) = feed
                .ask(async move |tx: &mut Tx<'_>| {
                    // The cursor first: where reads see what was committed in between, a token revoked then is in both.
                    let Some(Here { place, .. }) = here(&feed_of, tx).await? else {
                        return Ok(Answer::NoEpoch);
                    };
                    let mut tokens = Vec::new();
                    for row in tx.run(&revoked_tokens::REVOKED_TOKENS, &[]).await? {
                        tokens.push(revoked_tokens::read_all(&mut row.read())?);
                    }
                    Ok(Answer::Found((tokens, place)))
                })
                .await
                .map_err(unavailable)?;
            make_good(&feed.inner, &place.origin).await.map_err(unavailable)?;
            if let Some(before) = feed.follow(&place.origin) {
                // What was read before came from elsewhere: the next poll is to find that out.
                place.origin = before;
            }
            Ok((tokens, feed.spell(&place)))
        })
    }
}
