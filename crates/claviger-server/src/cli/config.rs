//! `claviger config` and `claviger check-config`.

use std::path::Path;
use std::process::ExitCode;

use claviger::clock::Clock;
use serde_json::json;

use crate::checks;
use crate::clock::MachineClock;
use crate::config::{Config, ConfigError, in_force};
use crate::failure::Failure;

use super::print;

pub(super) fn show(file: &Path, json: bool) -> Result<ExitCode, Failure> {
    let settings = in_force(file)?;
    let cannot = |error: String| Failure::new(format!("the settings cannot be written out ({error})"));
    if json {
        let value = serde_json::to_value(&settings).map_err(|error| cannot(error.to_string()))?;
        print::value(&value, true);
    } else {
        let text = toml::to_string(&settings).map_err(|error| cannot(error.to_string()))?;
        print::line(text.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn check(file: &Path, json: bool) -> Result<ExitCode, Failure> {
    let (config, source) = Config::load(file)?;
    let served = checks::check(&config, &source)?;
    checks::check_serving(&config, &source, &served, false)?;
    let names: Vec<String> = served.iter().map(|served| served.api.name.to_string()).collect();
    let warnings = checks::warnings(&config, &source, &served, MachineClock::new().time_of_day());
    if json {
        let warnings: Vec<_> = warnings
            .iter()
            .map(|warning| {
                let what = ConfigError { hint: None, ..warning.clone() }.to_string();
                json!({ "what": what, "hint": warning.hint })
            })
            .collect();
        let file = file.display().to_string();
        print::value(&json!({ "file": file, "apis": names, "warnings": warnings }), true);
    } else {
        for warning in &warnings {
            print::note(&format!("warning: {warning}"));
        }
        print::line(&format!("`{}` is good: {}", file.display(), names.join(", ")));
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints an API's description. It is text for other programs, with or without `--json`.
pub(super) fn api_document(file: &Path, api: &str) -> Result<ExitCode, Failure> {
    let (config, source) = Config::load(file)?;
    let served = checks::check(&config, &source)?;
    let found = served.iter().find(|served| served.api.name.as_str() == api);
    let found = found.ok_or_else(|| {
        let names: Vec<String> = served.iter().map(|served| format!("`{}`", served.api.name)).collect();
        Failure::argument("api", api, "the settings have no API of that name")
            .hint(format!("they have {}", names.join(", ")))
    })?;
    print::value(&crate::app::api_document(found), true);
    Ok(ExitCode::SUCCESS)
}
