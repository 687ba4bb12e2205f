//! On what the figures were taken.

use std::fs;
use std::process::Command;

use anyhow::Context;

/// Lines of a table: what, and which.
pub(crate) type Machine = Vec<(&'static str, String)>;

/// Describes the machine. Fails if a program that the bench needs is missing, naming its package.
pub(crate) fn describe() -> anyhow::Result<Machine> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism()?.get();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Ok(vec![
        ("CPU", model.map_or("unknown", |(_, model)| model).to_owned()),
        ("cores", cores.to_string()),
        ("kernel", kernel.trim().to_owned()),
        ("nginx", version("/usr/sbin/nginx", "-v", "nginx")?),
        ("HAProxy", version("/usr/sbin/haproxy", "-v", "haproxy")?),
        ("wrk", version("wrk", "-v", "wrk")?),
        ("rustc", version("rustc", "--version", "rustc").unwrap_or_else(|_| "unknown".to_owned())),
    ])
}

/// The first line that a program prints about itself, on whichever stream.
fn version(program: &str, argument: &str, package: &str) -> anyhow::Result<String> {
    let output = Command::new(program)
        .arg(argument)
        .output()
        .with_context(|| format!("`{program}` is missing: `apt-get install {package}` brings it"))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or_default();
    // What follows is a web address or a copyright.
    let end = line.find(" - http").or_else(|| line.find(" Copyright")).unwrap_or(line.len());
    Ok(line.get(..end).unwrap_or(line).trim_start_matches("nginx version: ").to_owned())
}
