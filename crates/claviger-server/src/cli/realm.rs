//! `claviger realm` and `claviger plan`.

use clap::Subcommand;
use serde::Serialize;

#[derive(Debug, Subcommand, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RealmCommand {
    /// List the realms
    List {},
}

#[derive(Debug, Subcommand, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PlanCommand {
    /// List the plans of a realm
    List {
        /// The realm
        #[arg(long)]
        realm: String,
    },
}
