//! Serves: the gateway and the `claviger` program.

pub mod clock;
pub mod config;
pub mod gateway;
pub mod journal;
pub mod metrics;
pub mod respond;
pub mod wire;
