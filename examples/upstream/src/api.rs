//! The three APIs this server stands in for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One API. Its name is the audience of its principal tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// Products, orders, inventory and integrations of an organization.
    Synq,
    /// Leads and conversations.
    Synaptiq,
    /// Tools that act for one user.
    Syncello,
}

impl Api {
    /// The audience of its principal tokens.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Synq => "synq",
            Self::Synaptiq => "synaptiq",
            Self::Syncello => "syncello",
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Api {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Synq, Self::Synaptiq, Self::Syncello].into_iter().find(|api| api.name() == name).ok_or_else(
            || anyhow::anyhow!("unknown API `{name}`: it is one of `synq`, `synaptiq` and `syncello`"),
        )
    }
}
