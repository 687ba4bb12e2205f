//! External ids and metadata, of whatever has them.

use std::collections::BTreeMap;

use clap::Args;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// What to change of what others call something, and keep beside it.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Changes {
    /// What your own systems call it; no two of a kind are called the same
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// Take its external id away
    #[arg(long, conflicts_with = "external_id")]
    no_external_id: bool,
    /// Something to keep with it, such as tier=gold; again for more
    #[arg(long, value_name = "NAME=VALUE", value_parser = entry)]
    metadata: Vec<(String, String)>,
    /// The name of something that is to be kept no more; again for more
    #[arg(long, value_name = "NAME")]
    no_metadata: Vec<String>,
}

fn entry(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it has no value; write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Serialize for Changes {
    /// As a merge patch (RFC 7396): what is taken away is `null`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_kept = |name: &&String| self.metadata.iter().any(|(kept, _)| kept == *name);
        if let Some(name) = self.no_metadata.iter().find(is_kept) {
            let what = format!("`{name}` is both to be kept and to be taken out");
            return Err(serde::ser::Error::custom(what));
        }
        let kept = self.metadata.iter().map(|(name, value)| (name, Some(value)));
        let metadata: BTreeMap<&String, Option<&String>> =
            kept.chain(self.no_metadata.iter().map(|name| (name, None))).collect();
        let mut map = serializer.serialize_map(None)?;
        if self.no_external_id || self.external_id.is_some() {
            map.serialize_entry("external_id", &self.external_id)?;
        }
        map.serialize_entry("metadata", &metadata)?;
        map.end()
    }
}

/// Of which version something is changed.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Seen {
    /// Only if this is still its `version`, which `view` shows: nobody undoes what they have not seen
    #[arg(long, value_name = "VERSION")]
    if_version: Option<String>,
}

/// What is listed of those that your own systems call so.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Called {
    /// Only the one that your own systems call so
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
}
