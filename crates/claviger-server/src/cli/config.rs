//! `claviger config` and `claviger check-config`.

use std::path::Path;
use std::process::ExitCode;

use crate::app;
use crate::config::{Config, in_force};
use crate::management::Failure;

use super::print;

pub(super) fn show(file: &Path) -> Result<ExitCode, Failure> {
    let text = in_force(file)?;
    print::line(text.trim_end());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn check(file: &Path) -> Result<ExitCode, Failure> {
    let (config, source) = Config::load(file)?;
    let served = app::check(&config, &source)?;
    let names: Vec<String> = served.iter().map(|served| served.api.name.to_string()).collect();
    print::line(&format!("`{}` is good: {}", file.display(), names.join(", ")));
    Ok(ExitCode::SUCCESS)
}
