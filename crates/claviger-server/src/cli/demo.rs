//! `claviger demo`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use claviger::random::SystemRandom;

use crate::clock::MachineClock;
use crate::demo::{Demo as Running, Place};
use crate::failure::Failure;
use crate::world::World;

use super::{print, serve};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  claviger demo
  claviger demo --data other --port-base 9000
  claviger --config data/demo/demo.toml tenant list --realm synq")]
pub(crate) struct Demo {
    /// Where its data is kept; a second start there finds everything as it was left
    #[arg(long, value_name = "DIR", default_value = "data/demo")]
    data: PathBuf,
    /// The first of its ports; 8080 gives 8080 to 8084, 8090 and 8099
    #[arg(long, value_name = "N", default_value_t = 8080)]
    port_base: u16,
    /// Where to write the variables of its tenants and keys, for `sh`; DIR/demo.env by default
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

impl Demo {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        serve::log_to_standard_error("info", crate::config::LogFormat::Text)?;
        let place = Place { data: self.data, port_base: self.port_base, env_file: self.env_file };
        let signals = serve::Signals::listen()?;
        let world = World { clock: MachineClock::new(), random: Arc::new(SystemRandom), is_demo: true };
        let demo = Running::start(&place, &world)?;
        let address = |at: usize| demo.app().addresses().get(at).map(ToString::to_string).unwrap_or_default();
        print::line("Claviger is running, with data for trying out and a development certificate.");
        print::line(&format!(
            "  all APIs by Host   http://{}   over TLS: https://{}",
            address(0),
            address(4)
        ));
        print::line(&format!("  Synq               http://{}   identity tokens", address(1)));
        print::line(&format!(
            "  Synaptiq           http://{}   API keys (its HTTPS rule is off here, for development)",
            address(2)
        ));
        print::line(&format!("  Syncello           http://{}   user tokens", address(3)));
        if let Some(console) = demo.app().console_address() {
            print::line(&format!("  management API     http://{console}   described by /openapi.json"));
        }
        print::line(&format!("  health, metrics    http://{}", demo.app().ops_address()));
        print::line(&format!("  variables          {}", demo.env_file().display()));
        print::line("\nTry, in another terminal:\n");
        for line in demo.curl_lines() {
            print::line(&line);
        }
        print::line("\nCtrl-C ends it.");
        let again = signals.serve(demo.app());
        demo.stop_unless(again);
        Ok(ExitCode::SUCCESS)
    }
}
