//! Remembers, one tenant at a time, in SQLite or PostgreSQL.
pub mod source;
pub mod subject;
