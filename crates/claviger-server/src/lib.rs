//! Serves: the gateway and the `claviger` program.

pub mod wire;
