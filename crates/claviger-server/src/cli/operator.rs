//! `claviger operator`.

use clap::{Args, Subcommand};
use claviger_store::operators::DEFAULT_DAYS;
use serde::Serialize;

/// Which operator.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Which {
    /// The operator's name
    #[arg(value_name = "NAME")]
    operator: String,
}

pub(super) const EXAMPLES: &str = "Examples:
  claviger operator create --name ada --role owner
  claviger operator create --name monitoring --role reader --days 365
  claviger operator create --name agency --role support --realms orders
  claviger operator end agency";

#[derive(Debug, Subcommand, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OperatorCommand {
    /// Make an operator and show the token, this once
    Create {
        /// What to call them, in lists and in the audit
        #[arg(long)]
        name: String,
        /// reader looks, support changes and ends, owner makes credentials and operators too
        #[arg(long, value_parser = ["reader", "support", "owner"])]
        role: String,
        /// Bind them to these realms
        #[arg(long, value_name = "REALM", value_delimiter = ',', conflicts_with = "tenants")]
        realms: Option<Vec<String>>,
        /// Bind them to these tenants
        #[arg(long, value_name = "ID", value_delimiter = ',')]
        tenants: Option<Vec<String>>,
        /// How long the token lives, in days: 1 to 400
        #[arg(long, default_value_t = DEFAULT_DAYS)]
        days: i64,
    },
    /// List the operators
    List {},
    /// Show an operator
    View(Which),
    /// End an operator: the token is nobody's from now on
    End(Which),
    /// Say who asks, and what they may do
    Whoami {},
}
