//! What SQLite's errors mean to a caller.

use rusqlite::ErrorCode;
use rusqlite::ffi;

use crate::error::StoreError;

/// `noun` is what the statement's rows are called.
pub(crate) fn of(error: &rusqlite::Error, noun: &'static str) -> StoreError {
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        return StoreError::unavailable("sqlite could not be asked");
    };
    match failure.code {
        ErrorCode::ConstraintViolation => match failure.extended_code {
            ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY => {
                StoreError::AlreadyExists { what: noun }
            }
            ffi::SQLITE_CONSTRAINT_FOREIGNKEY => StoreError::NotFound { what: "row that it belongs to" },
            ffi::SQLITE_CONSTRAINT_TRIGGER => {
                StoreError::Refused { why: "the row is another tenant's or immutable" }
            }
            _ => StoreError::Invalid(format!("a value does not fit into the {noun}")),
        },
        ErrorCode::AuthorizationForStatementDenied => {
            StoreError::Refused { why: "the statement reaches behind a wall" }
        }
        ErrorCode::DiskFull => StoreError::unavailable("the disk is full"),
        ErrorCode::ReadOnly => StoreError::unavailable("the database file cannot be written"),
        ErrorCode::SystemIoFailure => {
            StoreError::unavailable("the database file could not be read or written")
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt { what: "database file" },
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            StoreError::unavailable("somebody else holds the database file")
        }
        _ => StoreError::unavailable(format!("sqlite answered with error {}", failure.extended_code)),
    }
}
