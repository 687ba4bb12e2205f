//! `claviger person`: how people come in at the console.

use std::io::{IsTerminal, Read};

use clap::{Args, Subcommand};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::asked::Asked;
use crate::failure::{Failure, complaint};

/// The most that is read of secrets, in bytes.
const LONGEST: u64 = 16 * 1024;

pub(super) const EXAMPLES: &str = "Examples:
  claviger person sign-in --server https://console.example.com --api orders --email ada@acme.example < password
  CLAVIGER_OPERATOR_TOKEN=cs_… claviger member list --server https://console.example.com --tenant ID --org ID

The token that this prints is good for the console alone, for twelve hours at most. Passwords, and the secrets of links, are read from standard
input, a line each.";

/// Whose people.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct AtApi {
    /// The API whose people sign in, by its name in the settings
    #[arg(long, value_name = "NAME")]
    api: String,
}

#[derive(Debug, Subcommand, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PersonCommand {
    /// Sign in at the console, as somebody of an API's realm; the password is read from standard input
    SignIn {
        #[command(flatten)]
        #[serde(flatten)]
        at: AtApi,
        /// The address
        #[arg(long, value_name = "ADDRESS")]
        email: String,
        /// The tenant, by its id; the first one where they are active by default
        #[arg(long, value_name = "ID")]
        tenant_id: Option<String>,
        /// The organization, by its id
        #[arg(long, value_name = "ID")]
        org_id: Option<String>,
    },
    /// Make an account, a tenant and its first organization, and sign in at the console; the password is read from standard input
    SignUp {
        #[command(flatten)]
        #[serde(flatten)]
        at: AtApi,
        /// The address
        #[arg(long, value_name = "ADDRESS")]
        email: String,
        /// What to call the tenant
        #[arg(long, value_name = "NAME")]
        tenant_name: String,
        /// What to call the organization; as the tenant by default
        #[arg(long, value_name = "NAME")]
        organization_name: Option<String>,
    },
    /// Prove an address by the link in a mail, and sign in at the console
    ///
    /// Reads what stands behind `#verify=` in the link from standard input, and on the next line the password, if somebody signs up.
    Verify {
        #[command(flatten)]
        #[serde(flatten)]
        at: AtApi,
    },
    /// Have that link mailed again
    VerifyResend {
        #[command(flatten)]
        #[serde(flatten)]
        at: AtApi,
        /// The address
        #[arg(long, value_name = "ADDRESS")]
        email: String,
    },
    /// Have a link for another password mailed
    PasswordForgot {
        #[command(flatten)]
        #[serde(flatten)]
        at: AtApi,
        /// The address
        #[arg(long, value_name = "ADDRESS")]
        email: String,
    },
    /// Choose another password by that link
    ///
    /// Reads what stands behind `#reset=` in the link from standard input, and on the next line the password.
    PasswordReset {
        #[command(flatten)]
        #[serde(flatten)]
        at: AtApi,
    },
    /// Accept an invitation, and sign in at the console
    ///
    /// Reads what stands behind `#invitation=` in the link from standard input, and on the next line the password of whoever has none.
    InvitationAccept {
        #[command(flatten)]
        #[serde(flatten)]
        at: AtApi,
    },
    /// Sign out of the console
    SignOut {},
}

impl PersonCommand {
    /// What is read from standard input, a line each.
    fn secrets(&self) -> &'static [&'static str] {
        match self {
            Self::SignIn { .. } | Self::SignUp { .. } => &["password"],
            Self::Verify { .. } | Self::PasswordReset { .. } | Self::InvitationAccept { .. } => {
                &["token", "password"]
            }
            Self::VerifyResend { .. } | Self::PasswordForgot { .. } | Self::SignOut {} => &[],
        }
    }

    /// What is to be asked for, with what is read from standard input.
    pub(super) fn asked(&self) -> Result<Asked, Failure> {
        let mut asked = Asked::of("person", self)?;
        let secrets = self.secrets();
        if secrets.is_empty() {
            return Ok(asked);
        }
        if std::io::stdin().is_terminal() {
            super::print::note(&format!("Write {}, a line each, then press Ctrl-D:", secrets.join(" and ")));
        }
        let mut text = Zeroizing::new(String::new());
        let read = std::io::stdin().lock().take(LONGEST).read_to_string(&mut text);
        read.map_err(|error| Failure::new(format!("cannot read standard input ({})", complaint(&error))))?;
        if let Some(members) = asked.input.as_object_mut() {
            for (name, line) in secrets.iter().zip(text.lines()) {
                members.insert((*name).to_owned(), line.into());
            }
        }
        Ok(asked)
    }
}
