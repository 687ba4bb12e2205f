//! The load generator: one turn of wrk against one contender.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::contender::Contender;
use crate::figures::Sample;
use crate::workshop::{HOST, PATH, Workshop};

const THREADS: u32 = 2;
const CONNECTIONS: u32 = 32;

/// What `report.lua` prints. Times are in microseconds.
#[derive(Debug, Deserialize)]
struct Report {
    requests: u64,
    micros: u64,
    p50: u64,
    p99: u64,
    /// Answers that are neither 2xx nor 3xx.
    refused: u64,
    /// Connections that failed, and requests that timed out.
    broken: u64,
}

#[derive(Debug)]
pub(crate) struct Load<'a> {
    workshop: &'a Workshop,
    seconds: u32,
    warm_up: u32,
}

impl<'a> Load<'a> {
    pub(crate) fn new(workshop: &'a Workshop, seconds: u32, warm_up: u32) -> Self {
        Self { workshop, seconds, warm_up }
    }

    /// Warms up, then measures.
    pub(crate) fn turn(&self, contender: &Contender) -> anyhow::Result<Sample> {
        self.wrk(contender, self.warm_up)?;
        let before = contender.server.cpu()?;
        let report = self.wrk(contender, self.seconds)?;
        let cpu = contender.server.cpu()?.saturating_sub(before);
        // A contender that refuses is quick at something else.
        ensure!(report.refused == 0, "{} of {} requests were refused", report.refused, report.requests);
        ensure!(report.requests > 0, "not one request was answered");
        let requests = report.requests as f64;
        Ok(Sample {
            cpu_micros: cpu.as_secs_f64() * 1e6 / requests,
            per_second: requests / (report.micros as f64 / 1e6),
            p50_micros: report.p50 as f64,
            p99_micros: report.p99 as f64,
            broken: report.broken,
        })
    }

    /// The command line, as shown in the report.
    pub(crate) fn command(&self) -> String {
        let words = self.arguments(self.seconds, "$PORT", Some("Bearer $CREDENTIAL"), "report.lua");
        self.workshop.show(Path::new("wrk"), &words)
    }

    fn wrk(&self, contender: &Contender, seconds: u32) -> anyhow::Result<Report> {
        let script = self.workshop.fill("report.lua", &[])?.display().to_string();
        let authorization = contender.authorization.as_deref();
        let words = self.arguments(seconds, &contender.port.to_string(), authorization, &script);
        let output = Command::new("wrk").args(words).output().context("cannot start `wrk`")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix("report "));
        let line =
            line.with_context(|| format!("`wrk` failed: {}", String::from_utf8_lossy(&output.stderr)))?;
        Ok(serde_json::from_str(line)?)
    }

    fn arguments(&self, seconds: u32, port: &str, authorization: Option<&str>, script: &str) -> Vec<String> {
        let mut words = vec![format!("-t{THREADS}"), format!("-c{CONNECTIONS}"), format!("-d{seconds}s")];
        words.extend(["--latency", "-s", script, "-H"].map(str::to_owned));
        words.push(format!("Host: {HOST}"));
        if let Some(authorization) = authorization {
            words.extend(["-H".to_owned(), format!("Authorization: {authorization}")]);
        }
        words.push(format!("http://127.0.0.1:{port}{PATH}"));
        words
    }
}
