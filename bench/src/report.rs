//! The report: `docs/benchmarks.md`.

use std::fmt::Write;

use jiff::Timestamp;

use crate::claviger::Resident;
use crate::contender::{Contender, Kind};
use crate::figures::{Figures, Sample, Spread};
use crate::machine::Machine;
use crate::people::People;

/// All that a run brought.
#[derive(Debug)]
pub(crate) struct Results<'a> {
    pub(crate) contenders: &'a [Contender],
    /// In the order of `contenders`.
    pub(crate) figures: &'a [Figures],
    /// `None`: Claviger was absent.
    pub(crate) resident: Option<Resident>,
    /// `None`: a program was absent.
    pub(crate) people: Option<People>,
    /// Command lines, as shown.
    pub(crate) upstream: &'a str,
    pub(crate) load: String,
    pub(crate) rounds: usize,
    pub(crate) seconds: u32,
    pub(crate) warm_up: u32,
}

/// A ratio of CPU per request that is wanted.
struct Target {
    what: &'static str,
    of: Kind,
    to: Kind,
    at_most: f64,
}

const TARGETS: [Target; 4] = [
    Target {
        what: "API key : nginx `proxy_pass`",
        of: Kind::ClavigerKey,
        to: Kind::NginxProxyPass,
        at_most: 1.15,
    },
    Target {
        what: "API key : HAProxy, key map and rate table",
        of: Kind::ClavigerKey,
        to: Kind::HaproxyKeyMap,
        at_most: 0.85,
    },
    Target {
        what: "API key : nginx `auth_request`",
        of: Kind::ClavigerKey,
        to: Kind::NginxAuthRequest,
        at_most: 0.5,
    },
    Target {
        what: "identity token seen before : API key",
        of: Kind::ClavigerToken,
        to: Kind::ClavigerKey,
        at_most: 1.05,
    },
];
/// The largest resident size wanted, in MiB, with a thousand keys.
const RESIDENT_AT_MOST: f64 = 40.0;

/// The whole report. `notes` are put at its end as they are.
pub(crate) fn write(
    machine: &Machine,
    results: &Results<'_>,
    notes: &str,
) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    head(&mut text, machine, results)?;
    table(&mut text, results)?;
    targets(&mut text, results)?;
    size(&mut text, results)?;
    people(&mut text, results)?;
    commands(&mut text, results)?;
    if !notes.trim().is_empty() {
        writeln!(text, "\n## Notes\n\n{}", notes.trim())?;
    }
    Ok(text)
}

fn head(text: &mut String, machine: &Machine, results: &Results<'_>) -> std::fmt::Result {
    let Results { rounds, seconds, warm_up, .. } = results;
    writeln!(text, "# Benchmarks\n\nWritten by `make bench`; do not edit. Taken on {}.\n", day())?;
    writeln!(
        text,
        "All servers, the load generator and the upstream share the machine, so throughput and latency say how they\n\
         share it; CPU per request is the first figure. {rounds} rounds of {seconds} s per contender after {warm_up} s to warm up, the contenders\n\
         taking turns in an order that rotates; each figure is the median with least and most. Before the first round\n\
         each contender answered 200 with the upstream's body to its credential, and those that authenticate 401 or 403\n\
         without one and to a changed one. The settings are in `bench/settings/`; the\n\
         work of the service that `auth_request` asks is not counted.\n\n\
         | machine | |\n|---|---|"
    )?;
    machine.iter().try_for_each(|(what, which)| writeln!(text, "| {what} | {which} |"))
}

/// Today, UTC.
fn day() -> String {
    Timestamp::now().to_string().chars().take_while(|letter| *letter != 'T').collect()
}

fn table(text: &mut String, results: &Results<'_>) -> std::fmt::Result {
    writeln!(
        text,
        "\n## Contenders\n\n| | CPU per request, µs | requests/s | p50, ms | p99, ms | connections failed |\n|---|---|---|---|---|---|"
    )?;
    for (contender, figures) in results.contenders.iter().zip(results.figures) {
        let cell = |figure: fn(&Sample) -> f64, digits: usize| {
            figures.spread(figure).map_or_else(|| "–".to_owned(), |spread| show(spread, digits))
        };
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            contender.name,
            cell(|sample| sample.cpu_micros, 1),
            cell(|sample| sample.per_second, 0),
            cell(|sample| sample.p50_micros / 1000.0, 2),
            cell(|sample| sample.p99_micros / 1000.0, 2),
            figures.broken(),
        )?;
    }
    if results.resident.is_none() {
        writeln!(text, "| Claviger | absent | | | | |")?;
    }
    Ok(())
}

fn show(Spread { least, median, most }: Spread, digits: usize) -> String {
    format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
}

fn targets(text: &mut String, results: &Results<'_>) -> std::fmt::Result {
    writeln!(
        text,
        "\n## Against the targets\n\nRatios of the medians of CPU per request.\n\n| | ratio | at most | met |\n|---|---|---|---|"
    )?;
    let median = |kind: Kind| {
        let at = results.contenders.iter().position(|contender| contender.kind == kind)?;
        Some(results.figures.get(at)?.spread(|sample| sample.cpu_micros)?.median)
    };
    for Target { what, of, to, at_most } in TARGETS {
        match (median(of), median(to)) {
            (Some(of), Some(to)) => {
                let ratio = of / to;
                writeln!(text, "| {what} | {ratio:.2} | {at_most} | {} |", met(ratio <= at_most))?;
            }
            _ => writeln!(text, "| {what} | not measured | {at_most} | – |")?,
        }
    }
    writeln!(text, "| identity token never seen : HAProxy, `jwt_verify` ES256 | not measured | 0.9 | – |")?;
    writeln!(text, "| API key : Caddy | not measured | 0.3 | – |")
}

fn met(met: bool) -> &'static str {
    if met { "yes" } else { "**no**" }
}

fn size(text: &mut String, results: &Results<'_>) -> std::fmt::Result {
    writeln!(text, "\n## Size\n")?;
    let Some(Resident { before_load, after_load }) = results.resident else {
        return writeln!(text, "Claviger was absent.");
    };
    let (before, after) = (before_load as f64 / 1024.0, after_load as f64 / 1024.0);
    writeln!(
        text,
        "Claviger with a thousand keys, each used once: {before:.1} MiB resident, {after:.1} MiB after the last round \
         (at most {RESIDENT_AT_MOST}: {}).",
        met(before.max(after) <= RESIDENT_AT_MOST)
    )
}

/// What is wanted of signing in and of refreshing.
const SIGN_IN_AT_MOST: f64 = 1.5;
const REFRESHES_AT_LEAST: f64 = 0.7;

fn people(text: &mut String, results: &Results<'_>) -> std::fmt::Result {
    writeln!(text, "\n## People\n")?;
    let Some(People { at_once, sign_in, hash, refresh, revocation }) = results.people else {
        return writeln!(text, "Not measured: a program was absent.");
    };
    let millis = |micros: u64| micros as f64 / 1000.0;
    writeln!(
        text,
        "On an embedded store. So many sign in at once as passwords are hashed at once ({at_once}); any answer but 200 would have ended the run.\n\
         The bare loop writes the same row in transactions of 64, and reads nothing. A request counts as after a revocation if it began after\n\
         that was answered; it is revoked while all others go on being asked with, {:.0} requests a second.\n\n\
         | | figure | wanted | met |\n|---|---|---|---|",
        revocation.per_second
    )?;
    let ratio = sign_in.p99 as f64 / hash.p99 as f64;
    writeln!(
        text,
        "| sign-in p99 : the hash alone | {ratio:.2} ({:.1} ms of {} : {:.1} ms of {}; medians {:.1} : {:.1}) | at most {SIGN_IN_AT_MOST} | {} |",
        millis(sign_in.p99),
        sign_in.count,
        millis(hash.p99),
        hash.count,
        millis(sign_in.p50),
        millis(hash.p50),
        met(ratio <= SIGN_IN_AT_MOST)
    )?;
    let ratio = refresh.refreshes / refresh.bare;
    writeln!(
        text,
        "| refreshes : a bare loop's writes | {ratio:.2} ({:.0} : {:.0} a second) | at least {REFRESHES_AT_LEAST} | {} |",
        refresh.refreshes,
        refresh.bare,
        met(ratio >= REFRESHES_AT_LEAST)
    )?;
    let is_met = revocation.let_in == 0 && revocation.after > 0;
    writeln!(
        text,
        "| let in after one of {} revocations | {} of {} requests; {} refused before | 0 | {} |",
        revocation.revoked,
        revocation.let_in,
        revocation.after,
        revocation.refused,
        met(is_met)
    )
}

fn commands(text: &mut String, results: &Results<'_>) -> std::fmt::Result {
    writeln!(
        text,
        "\n## Commands\n\n`$DIR` is the run's temporary directory with the settings filled in.\n\n```sh"
    )?;
    writeln!(text, "{}", results.upstream)?;
    let mut shown: Vec<&str> = Vec::new();
    for contender in results.contenders {
        let command = contender.server.command();
        if !shown.contains(&command) {
            shown.push(command);
            writeln!(text, "{command}")?;
        }
    }
    writeln!(text, "{}\n```", results.load)
}
