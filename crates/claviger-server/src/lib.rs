//! Serves: the gateway and the `claviger` program.
//!
//! A request goes `listen → route → identify → authenticate → authorize → limit → forward → journal`. [`wire`]
//! listens and talks to upstreams, [`gateway`] leads a request through, the core decides, [`respond`] writes what
//! a refused client gets, [`journal`] has the last word. [`app`] builds all of it from the settings in [`config`].

mod afar;
mod answered;
mod api_document;
pub mod app;
mod asked;
mod binding_keys;
mod certificate_files;
mod certificates;
mod checks;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
mod control;
mod control_socket;
mod core;
pub mod demo;
mod desk;
pub mod failure;
mod file_version;
pub mod gateway;
mod housekeeping;
pub mod identity_tokens;
pub mod journal;
mod key_files;
mod last_uses;
mod lease;
pub mod mail;
pub mod management;
pub mod metrics;
pub mod ops;
pub mod passwords;
mod people;
mod private_files;
mod redact;
pub mod refused;
mod refused_requests;
mod reload;
pub mod respond;
mod succession;
mod surfaces;
#[cfg(feature = "testing")]
pub mod testing;
mod walls;
pub mod wire;
pub mod world;
