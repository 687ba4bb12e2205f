//! Remembers, one tenant at a time, in SQLite or PostgreSQL.
pub mod follower;
pub mod memory;
pub mod source;
pub mod subject;
