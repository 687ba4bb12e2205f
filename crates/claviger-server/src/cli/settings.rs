//! `claviger settings`.

use clap::Subcommand;
use serde::Serialize;

#[derive(Debug, Subcommand, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SettingsCommand {
    /// Have the server read its settings again and serve by them: all of them, or none if one is wrong
    ///
    /// As SIGHUP does, but says what came of it. APIs, trusted proxies, certificates and what listeners are for can change
    /// while a server runs; the rest is read at its next start, and is refused until then. No connection is dropped, and what is
    /// counted goes on being counted. What is open stays open as long as the new settings would let it.
    Reload {},
}
