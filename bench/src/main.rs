//! Compares the gateway with nginx and HAProxy in one run, side by side, and writes `docs/benchmarks.md`.
//!
//! Machines differ, so what counts are ratios of medians taken in the same run. The contenders take turns in
//! an order that rotates, the load generator (wrk) and the upstream (nginx) are the same for all, and no
//! figure makes the run fail. What does make it fail is a contender that lets in what it should refuse, or
//! refuses what it should let in, because then its figures mean nothing.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

mod claviger;
mod connection;
mod contender;
mod figures;
mod load;
mod machine;
mod peers;
mod people;
mod ports;
mod probe;
mod report;
mod server;
mod workshop;

use figures::Figures;
use load::Load;
use workshop::Workshop;

/// Compares the gateway with nginx and HAProxy and writes the report.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often each contender takes its turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long a turn is measured, in seconds
    #[arg(long, default_value_t = 4)]
    seconds: u32,
    /// How long a turn runs before it is measured, in seconds
    #[arg(long, default_value_t = 1)]
    warm_up: u32,
    /// Where the report goes; `docs/benchmarks.md` of this checkout if not given
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the crate has no parent directory")?;
    let machine = machine::describe()?;
    let workshop = Workshop::open(root)?;
    let load = Load::new(&workshop, arguments.seconds, arguments.warm_up);

    say("starting the servers");
    let upstream = peers::upstream(&workshop)?;
    let mut contenders = peers::contenders(&workshop, &upstream)?;
    let claviger = claviger::start(&workshop, upstream.port)?;
    match &claviger {
        Some(claviger) => contenders.extend(claviger.contenders()),
        None => say("Claviger is absent: `cargo build --release -p claviger-server` makes it"),
    }
    for contender in &contenders {
        contender.check().with_context(|| format!("{} does not do its work", contender.name))?;
    }

    let mut figures = vec![Figures::default(); contenders.len()];
    for round in 0..arguments.rounds {
        for turn in 0..contenders.len() {
            let at = (round + turn) % contenders.len();
            let (Some(contender), Some(figures)) = (contenders.get(at), figures.get_mut(at)) else {
                continue;
            };
            let sample = load.turn(contender).with_context(|| format!("{} under load", contender.name))?;
            say(&format!("round {}: {}: {sample}", round + 1, contender.name));
            figures.add(sample);
        }
    }

    let people = people::measure(&workshop, upstream.port).context("what people do")?;
    let results = report::Results {
        contenders: &contenders,
        figures: &figures,
        resident: claviger.as_ref().map(claviger::Claviger::resident).transpose()?,
        people,
        upstream: upstream.server.command(),
        load: load.command(),
        rounds: arguments.rounds,
        seconds: arguments.seconds,
        warm_up: arguments.warm_up,
    };
    let notes = std::fs::read_to_string(root.join("bench/notes.md")).unwrap_or_default();
    let text = report::write(&machine, &results, &notes)?;
    let path = arguments.report.clone().unwrap_or_else(|| root.join("docs/benchmarks.md"));
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    say(&format!("wrote {}", path.display()));
    Ok(())
}

/// Shows progress.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
