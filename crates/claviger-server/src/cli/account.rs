//! `claviger account`.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::HowMuch;

/// Which account.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Which {
    /// The account: its id or e-mail address
    #[arg(long, value_name = "ID")]
    account: String,
}

#[derive(Debug, Subcommand, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AccountCommand {
    /// Find the account of an e-mail address
    List {
        /// The realm
        #[arg(long)]
        realm: String,
        /// The e-mail address
        #[arg(long, value_name = "ADDRESS")]
        email: String,
    },
    /// Show an account
    View(Which),
    /// Refuse a person everywhere for now (403)
    Suspend(Which),
    /// Let a suspended person in again
    Resume(Which),
    /// End all sessions of a person everywhere, and so all identity tokens made so far, other issuers' too
    RevokeTokens {
        #[command(flatten)]
        #[serde(flatten)]
        which: Which,
        #[command(flatten)]
        #[serde(flatten)]
        how_much: HowMuch,
    },
}
