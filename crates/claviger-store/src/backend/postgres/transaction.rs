//! One transaction, begun with its first statement in one round trip.

use std::sync::Arc;

use bytes::BytesMut;
use claviger::clock::Clock;
use tokio_postgres::Client;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};

use super::errors;
use crate::backend::bound::{Bound, Mode};
use crate::error::StoreError;
use crate::statement::{Kind, Statement};
use crate::subject::{self, Change};
use crate::value::{Row, Value};

/// What each transaction begins with. Everything is of the transaction: a pooler may give the connection to others.
macro_rules! bind {
    () => {
        "SELECT set_config('app.tenant', $1, true), set_config('statement_timeout', '5s', true), \
         set_config('lock_timeout', '4s', true), set_config('idle_in_transaction_session_timeout', '2s', true)"
    };
}

/// How many columns that has.
const LIMITS: usize = 4;

type BoxError = Box<dyn std::error::Error + Sync + Send>;

pub(crate) struct Transaction<'c> {
    client: &'c Client,
    bound: Bound,
    mode: Mode,
    begun: bool,
    unordered: bool,
    is_read_only: bool,
    origin: Option<String>,
    /// What the server's clock shows in a test.
    #[cfg(any(test, feature = "testing"))]
    test_now: claviger::clock::UnixMillis,
}

impl<'c> Transaction<'c> {
    pub(super) fn new(client: &'c Client, bound: Bound, mode: Mode, clock: &Arc<dyn Clock>) -> Self {
        #[cfg(not(any(test, feature = "testing")))]
        let _ = clock;
        Self {
            #[cfg(any(test, feature = "testing"))]
            test_now: clock.now(),
            client,
            bound,
            mode,
            begun: false,
            unordered: false,
            is_read_only: false,
            origin: None,
        }
    }

    /// Sends BEGIN, the binding and the statement together: the futures are polled in this order, and the client
    /// queues in the order of their first poll. A failed binding fails the statement too.
    pub(crate) async fn run(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        let typed: Vec<(&(dyn ToSql + Sync), Type)> = params
            .iter()
            .zip(statement.params)
            .map(|(value, kind)| {
                let value: &(dyn ToSql + Sync) = value;
                (value, type_of(*kind))
            })
            .collect();
        let query = self.client.query_typed(statement.for_postgres(), &typed);
        let answer = if self.begun {
            query.await
        } else {
            self.begun = true;
            let (begun, bound, answer) = tokio::join!(biased; self.begin(), self.bind(), query);
            self.origin = bound.as_ref().ok().cloned().flatten();
            begun.and(bound.map(drop)).and(answer)
        };
        let rows = answer.map_err(|error| {
            self.unordered |= errors::could_not_be_ordered(&error);
            self.is_read_only |= errors::is_read_only(&error);
            errors::of(&error, statement.noun)
        })?;
        let corrupt = |_| StoreError::Corrupt { what: statement.noun };
        rows.iter()
            .map(|row| {
                let columns =
                    (0..row.len()).map(|at| row.try_get::<_, Value>(at)).collect::<Result<Vec<_>, _>>();
                Ok(Row { noun: statement.noun, columns: columns.map_err(corrupt)? })
            })
            .collect()
    }

    async fn begin(&self) -> Result<(), tokio_postgres::Error> {
        let begin = match (self.mode, self.bound) {
            (Mode::Read, Bound::Tenant(_)) => "BEGIN READ ONLY",
            (Mode::Write, Bound::Tenant(_)) => "BEGIN",
            // One snapshot for the origin and for all that is read beside it.
            (Mode::Read, Bound::System(_)) => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL ROLE claviger_system"
            }
            (Mode::Write, Bound::System(_)) => "BEGIN; SET LOCAL ROLE claviger_system",
        };
        self.client.batch_execute(begin).await
    }

    /// Binds the tenant for this transaction alone, and puts limits on it: on each statement, on its wait for locks, and
    /// on the time that it may stand open with nobody saying anything, as when this process is stopped. Gives the feed's
    /// origin where a named job reads.
    async fn bind(&self) -> Result<Option<String>, tokio_postgres::Error> {
        let tenant = match self.bound {
            Bound::Tenant(tenant) => tenant.to_string(),
            Bound::System(_) => String::new(),
        };
        let sql = match (self.mode, self.bound) {
            (Mode::Read, Bound::System(_)) => concat!(bind!(), ", claviger.feed_origin()"),
            (Mode::Write, _) | (Mode::Read, Bound::Tenant(_)) => bind!(),
        };
        #[cfg(any(test, feature = "testing"))]
        let sql = &format!("{sql}, set_config('claviger.test_now', '{}', true)", self.test_now.0);
        let row = self.client.query_typed(sql, &[(&tenant, Type::TEXT)]).await?;
        let brings_origin = matches!((self.mode, self.bound), (Mode::Read, Bound::System(_)));
        row.first().filter(|_| brings_origin).map_or(Ok(None), |row| row.try_get(LIMITS))
    }

    pub(crate) fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether the server takes no writes: another one does by now.
    pub(super) fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    pub(super) fn could_not_be_ordered(&self) -> bool {
        self.unordered
    }

    /// What this transaction has written into the feed.
    pub(super) async fn own_changes(&mut self) -> Result<Vec<Change>, StoreError> {
        if !self.begun {
            return Ok(Vec::new());
        }
        let sql = "SELECT kind, id, row_version FROM change WHERE xid = pg_current_xact_id_if_assigned()";
        let rows = self.client.query_typed(sql, &[]).await.map_err(|error| errors::of(&error, "change"))?;
        let corrupt = || StoreError::Corrupt { what: "change" };
        let mut changes = Vec::with_capacity(rows.len());
        for row in rows {
            let (kind, id): (&str, &str) =
                (row.try_get(0).map_err(|_| corrupt())?, row.try_get(1).map_err(|_| corrupt())?);
            let version = row.try_get(2).map_err(|_| corrupt())?;
            // A trigger of a newer schema may tell of what this program has no memory of.
            changes.extend(subject::read(kind, id).ok().map(|subject| Change { subject, version }));
        }
        Ok(changes)
    }

    pub(super) async fn commit(&mut self) -> Result<(), tokio_postgres::Error> {
        if self.begun { self.client.batch_execute("COMMIT").await } else { Ok(()) }
    }

    pub(super) async fn roll_back(&mut self) -> Result<(), tokio_postgres::Error> {
        if self.begun { self.client.batch_execute("ROLLBACK").await } else { Ok(()) }
    }
}

pub(crate) fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Int => Type::INT8,
        Kind::Text => Type::TEXT,
        Kind::Blob => Type::BYTEA,
        Kind::Uuid => Type::UUID,
    }
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        match (self, ty) {
            (Self::Null, _) => return Ok(IsNull::Yes),
            (Self::Int(number), &Type::INT8) => number.to_sql(ty, out)?,
            (Self::Text(text), &Type::TEXT) => text.as_str().to_sql(ty, out)?,
            (Self::Blob(bytes), &Type::BYTEA) => bytes.as_slice().to_sql(ty, out)?,
            (Self::Uuid(bytes), &Type::UUID) => {
                out.extend_from_slice(bytes);
                IsNull::No
            }
            (Self::Int(_) | Self::Text(_) | Self::Blob(_) | Self::Uuid(_), _) => {
                return Err("a parameter of another kind than the statement says".into());
            }
        };
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::TEXT | Type::BYTEA | Type::UUID)
    }

    tokio_postgres::types::to_sql_checked!();
}

impl FromSql<'_> for Value {
    fn from_sql(ty: &Type, raw: &[u8]) -> Result<Self, BoxError> {
        Ok(match *ty {
            Type::INT8 => Self::Int(i64::from_sql(ty, raw)?),
            Type::TEXT => Self::Text(String::from_sql(ty, raw)?),
            Type::BYTEA => Self::Blob(raw.to_vec()),
            Type::UUID => Self::Uuid(raw.try_into()?),
            _ => return Err("a column of a kind that statements do not select".into()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, BoxError> {
        Ok(Self::Null)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::TEXT | Type::BYTEA | Type::UUID)
    }
}
