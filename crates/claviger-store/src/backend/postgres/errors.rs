//! What PostgreSQL's errors mean to a caller.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::error::StoreError;

/// Why an attempt failed.
pub(super) enum Failure {
    /// Another order of the same transactions may succeed (SQLSTATE 40001).
    Retry(StoreError),
    Final(StoreError),
}

/// `noun` is what the statement's rows are called.
pub(crate) fn of(error: &Error, noun: &'static str) -> StoreError {
    let Some(state) = error.code() else {
        return StoreError::unavailable("the connection to postgres failed");
    };
    match *state {
        SqlState::UNIQUE_VIOLATION => StoreError::AlreadyExists { what: noun },
        SqlState::FOREIGN_KEY_VIOLATION => StoreError::NotFound { what: "row that it belongs to" },
        SqlState::CHECK_VIOLATION
        | SqlState::NOT_NULL_VIOLATION
        | SqlState::CHARACTER_NOT_IN_REPERTOIRE
        | SqlState::UNTRANSLATABLE_CHARACTER
        | SqlState::PROGRAM_LIMIT_EXCEEDED => {
            StoreError::Invalid(format!("a value does not fit into the {noun}"))
        }
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => StoreError::Corrupt { what: noun },
        SqlState::INSUFFICIENT_PRIVILEGE | SqlState::RESTRICT_VIOLATION => {
            StoreError::Refused { why: "the row is another tenant's or immutable" }
        }
        SqlState::QUERY_CANCELED => StoreError::unavailable("postgres did not answer in time"),
        SqlState::LOCK_NOT_AVAILABLE => {
            StoreError::unavailable("another transaction holds what this one needs")
        }
        SqlState::DISK_FULL => StoreError::unavailable("the disk of postgres is full"),
        SqlState::READ_ONLY_SQL_TRANSACTION => StoreError::unavailable("this postgres is read-only"),
        _ => StoreError::unavailable(format!("postgres answered with error {}", state.code())),
    }
}

/// Whether the transaction may succeed if it is tried again.
pub(crate) fn could_not_be_ordered(error: &Error) -> bool {
    matches!(error.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED))
}

/// Whether the server takes no writes.
pub(super) fn is_read_only(error: &Error) -> bool {
    error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
}

/// A failed COMMIT: an answer of the server says that nothing was stored, silence says nothing.
pub(super) fn of_commit(error: &Error) -> Failure {
    if could_not_be_ordered(error) {
        return Failure::Retry(of(error, "transaction"));
    }
    match error.as_db_error() {
        Some(answer) if answer.code() != &SqlState::ADMIN_SHUTDOWN => {
            Failure::Final(of(error, "transaction"))
        }
        _ => Failure::Final(StoreError::UnknownOutcome),
    }
}
