//! The settings in force.

use std::fmt;
use std::sync::{Arc, Weak};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::operation::{Call, operations};
use crate::failure::{Failure, FailureKind};

/// Takes up changed settings.
pub trait Reload: fmt::Debug + Send + Sync {
    /// Reads the settings again and serves by them, or says why not and goes on as before.
    fn reload(self: Arc<Self>) -> BoxFuture<'static, Result<Reloaded, Failure>>;
}

/// The settings' file.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TheSettings {}

/// What was taken up.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Reloaded {
    /// APIs that were not served before.
    pub added: Vec<String>,
    /// APIs whose settings are others than before.
    pub changed: Vec<String>,
    /// APIs that are served no more.
    pub removed: Vec<String>,
}

impl Reloaded {
    pub(crate) fn sort(&mut self) {
        self.added.sort();
        self.changed.sort();
        self.removed.sort();
    }
}

operations! {
    /// Read the settings again and serve by them; all of them or none
    "settings.reload": POST "/v1/settings/reload" for Owner = reload(TheSettings) -> Reloaded;
}

async fn reload(call: &Call, _: TheSettings) -> Result<Reloaded, Failure> {
    call.caller.reaches_everything()?;
    let reload = call.management.reload.get().and_then(Weak::upgrade).ok_or_else(|| {
        Failure::of(FailureKind::Conflict, "no server runs on this data, so there is nothing to reload")
            .hint("a server reads its settings at its start; on PostgreSQL ask each with `--server`, or send it SIGHUP")
    })?;
    let reloaded = reload.reload().await?;
    // They are in force, whether that can be written down or not.
    let details = serde_json::json!({
        "added": reloaded.added, "changed": reloaded.changed, "removed": reloaded.removed,
    });
    if let Err(error) = call.operator().settings_reloaded(details).await {
        tracing::error!(%error, by = call.caller.name, "that settings were taken up could not be written into the audit");
    }
    Ok(reloaded)
}
