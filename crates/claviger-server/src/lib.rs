//! Serves: the gateway and the `claviger` program.
<<<<<<< HEAD
pub mod config;
=======

pub mod wire;
>>>>>>> gateway
