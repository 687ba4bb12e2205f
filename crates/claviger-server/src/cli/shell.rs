//! `claviger completions` and `claviger manual`: what shells and `man` know of the program.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::failure::{Failure, complaint};

/// For which shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  claviger completions bash > /etc/bash_completion.d/claviger
  claviger completions fish > ~/.config/fish/completions/claviger.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Where to.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  claviger manual --to /usr/local/share/man/man1")]
pub(crate) struct Manual {
    /// The directory to write a page for each command to
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

impl Completions {
    /// Prints them.
    pub(super) fn run(&self, mut program: Command) -> Result<ExitCode, Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut program, "claviger", &mut text);
        // A reader that has gone away is no error of ours.
        let _ = std::io::stdout().lock().write_all(&text);
        Ok(ExitCode::SUCCESS)
    }
}

impl Manual {
    /// Writes them.
    pub(super) fn run(&self, program: Command) -> Result<ExitCode, Failure> {
        let cannot = |path: &Path, error: &std::io::Error| {
            Failure::new(format!("cannot write to `{}` ({})", path.display(), complaint(error)))
        };
        std::fs::create_dir_all(&self.to).map_err(|error| cannot(&self.to, &error))?;
        clap_mangen::generate_to(program, &self.to).map_err(|error| cannot(&self.to, &error))?;
        Ok(ExitCode::SUCCESS)
    }
}
