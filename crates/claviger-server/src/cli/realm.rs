//! `claviger realm`, `claviger plan`, `claviger limit` and `claviger issuer`.

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

#[derive(Debug, Subcommand, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LimitCommand {
    /// List the limits of the APIs, as the settings say
    List {
        /// Only this API's
        #[arg(long)]
        api: Option<String>,
    },
}

#[derive(Debug, Subcommand, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum IssuerCommand {
    /// List the other issuers whose tokens are taken, as the settings say
    List {
        /// Only this API's
        #[arg(long)]
        api: Option<String>,
    },
}
