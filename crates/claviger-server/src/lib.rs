//! Serves: the gateway and the `claviger` program.

pub mod config;
pub mod wire;
