//! The last step: what happened is written down, whatever it was.
//!
//! A line of the access log is appended to its core's own buffer, and one thread writes the buffers out ten times
//! a second. So a request neither waits for a disk nor makes a system call, and a log that cannot keep up loses
//! lines, counted, rather than slowing anybody down.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use claviger::Permit;
use claviger::clock::UnixMillis;
use claviger::id::ApiName;
use claviger::refusal::Refusal;
use http::{HeaderValue, Method, StatusCode};
use prometheus_client::metrics::counter::Counter;

use crate::config::AccessLog;

/// How much a core may have unwritten before it loses lines.
const MAX_BUFFER: usize = 4 << 20;
const INTERVAL: Duration = Duration::from_millis(100);

/// The access log.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    cores: Box<[Mutex<String>]>,
    lost: Counter,
    stop: AtomicBool,
}

/// One request as the journal writes it.
#[derive(Debug)]
pub struct Line<'a> {
    /// When it came.
    pub at: UnixMillis,
    /// Its id.
    pub request_id: &'a HeaderValue,
    /// The API; `None` if the request was for none.
    pub api: Option<&'a ApiName>,
    /// Its method.
    pub method: &'a Method,
    /// Its path, without the query, which may hold what nobody should read.
    pub path: &'a str,
    /// Where it came from.
    pub client: std::net::IpAddr,
    /// What it was answered with.
    pub status: StatusCode,
    /// How long until the head of the answer, in microseconds.
    pub micros: u64,
    /// Whether it was let in or refused; `None` if it needed no credential: a preflight, a published key set.
    pub outcome: Option<Result<&'a Permit, &'a Refusal>>,
}

impl Journal {
    /// Begins a log for so many cores.
    ///
    /// # Errors
    /// If the file cannot be opened or the thread cannot be started.
    pub fn open(to: &AccessLog, cores: usize, lost: Counter) -> std::io::Result<Self> {
        let sink: Option<Box<dyn Write + Send>> = match to {
            AccessLog::Off => None,
            AccessLog::Stdout => Some(Box::new(std::io::stdout())),
            AccessLog::File(path) => {
                Some(Box::new(std::fs::OpenOptions::new().create(true).append(true).open(path)?))
            }
        };
        let cores = if sink.is_some() { cores } else { 0 };
        let shared = Arc::new(Shared {
            cores: (0..cores).map(|_| Mutex::default()).collect(),
            lost,
            stop: AtomicBool::new(false),
        });
        let writer = match sink {
            None => None,
            Some(sink) => {
                let shared = shared.clone();
                Some(
                    std::thread::Builder::new()
                        .name("access-log".into())
                        .spawn(move || write_out(&shared, sink))?,
                )
            }
        };
        Ok(Self { shared, writer })
    }

    /// Writes down a request.
    pub fn note(&self, core: usize, line: &Line<'_>) {
        let Some(buffer) = self.shared.cores.get(core) else { return };
        let mut buffer = buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() > MAX_BUFFER {
            self.shared.lost.inc();
            return;
        }
        // Writing to a string does not fail.
        let _ = line.write(&mut buffer);
    }
}

impl Drop for Journal {
    /// Waits until everything noted so far has been written.
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(writer) = self.writer.take() {
            writer.thread().unpark();
            // A writer that panicked has nothing more to say.
            let _ = writer.join();
        }
    }
}

fn write_out(shared: &Shared, mut sink: Box<dyn Write + Send>) {
    let mut full = String::new();
    let mut failed = false;
    loop {
        let stopping = shared.stop.load(Ordering::Relaxed);
        for core in &shared.cores {
            full.clear();
            std::mem::swap(&mut full, &mut *core.lock().unwrap_or_else(PoisonError::into_inner));
            if full.is_empty() {
                continue;
            }
            let written = sink.write_all(full.as_bytes()).and_then(|()| sink.flush());
            if let Err(error) = written {
                shared.lost.inc_by(full.lines().count() as u64);
                if !failed {
                    tracing::error!(%error, "the access log cannot be written; its lines are lost");
                }
                failed = true;
            } else {
                failed = false;
            }
        }
        if stopping {
            return;
        }
        std::thread::park_timeout(INTERVAL);
    }
}

impl Line<'_> {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        out.push_str("{\"at\":\"");
        match jiff::Timestamp::from_millisecond(self.at.0) {
            Ok(at) => write!(out, "{at:.3}")?,
            Err(_) => write!(out, "{}", self.at.0)?,
        }
        write!(out, "\",\"request_id\":\"{}\"", self.request_id.to_str().unwrap_or_default())?;
        if let Some(api) = self.api {
            write!(out, ",\"api\":\"{api}\"")?;
        }
        write!(out, ",\"method\":\"{}\",\"path\":\"", self.method)?;
        write_path(out, self.path)?;
        write!(
            out,
            "\",\"client\":\"{}\",\"status\":{},\"micros\":{}",
            self.client,
            self.status.as_u16(),
            self.micros
        )?;
        match self.outcome {
            Some(Ok(permit)) => {
                let principal = permit.principal();
                write!(
                    out,
                    ",\"tenant\":\"{}\",\"org\":\"{}\",\"environment\":\"{}\",\"credential\":\"{}\"",
                    permit.tenant(),
                    permit.org(),
                    permit.environment(),
                    principal.credential_id(),
                )?;
            }
            Some(Err(refusal)) => {
                if let Some(tenant) = refusal.tenant() {
                    write!(out, ",\"tenant\":\"{tenant}\"")?;
                }
                write!(out, ",\"code\":\"{}\",\"reason\":\"", refusal.code().as_str())?;
                write_escaped(out, &refusal.to_string())?;
                out.push('"');
            }
            None => {}
        }
        out.push_str("}\n");
        Ok(())
    }
}

/// The longest text of a line.
const MAX_TEXT: usize = 1024;

/// Writes a path without the keys and tokens that somebody put there, where they do not belong.
fn write_path(out: &mut String, path: &str) -> std::fmt::Result {
    if !path.split('/').any(is_like_a_credential) {
        return write_escaped(out, path);
    }
    let segments = path.split('/').map(|segment| if is_like_a_credential(segment) { "***" } else { segment });
    write_escaped(out, &segments.collect::<Vec<_>>().join("/"))
}

/// Whether a segment has the shape of a key, or of a token of three parts.
fn is_like_a_credential(segment: &str) -> bool {
    segment.len() >= SHORTEST_CREDENTIAL
        && (segment.contains("_live_")
            || segment.contains("_test_")
            || segment.starts_with("ey") && segment.bytes().filter(|byte| *byte == b'.').count() >= 2)
}

/// Nothing that opens a door is shorter, in bytes.
const SHORTEST_CREDENTIAL: usize = 24;

/// Writes what stands between a JSON string's quotes (RFC 8259, section 7).
fn write_escaped(out: &mut String, text: &str) -> std::fmt::Result {
    for c in text.chars().take(MAX_TEXT) {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => write!(out, "\\u{:04x}", u32::from(c))?,
            c => out.push(c),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_json_object_whatever_the_path_is() {
        let (id, method) = (HeaderValue::from_static("r1"), Method::GET);
        let refusal = Refusal::new(claviger::Reason::NoCredential);
        let mut out = String::new();
        let line = Line {
            at: UnixMillis(1_700_000_000_123),
            request_id: &id,
            api: None,
            method: &method,
            path: "/a\"b\\c\u{1}",
            client: std::net::IpAddr::from([192, 0, 2, 1]),
            status: StatusCode::UNAUTHORIZED,
            micros: 12,
            outcome: Some(Err(&refusal)),
        };
        line.write(&mut out).unwrap();
        let read: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(read["path"], "/a\"b\\c\u{1}");
        assert_eq!(
            (&read["at"], &read["code"]),
            (&"2023-11-14T22:13:20.123Z".into(), &"unauthorized".into())
        );
        assert_eq!(out.lines().count(), 1);
    }

    #[test]
    fn a_credential_in_a_path_is_not_written() {
        for (path, expected) in [
            (
                "/api/v1/leads/lead_01ARZ3NDEKTSV4RRFFQ69G5FAV",
                "/api/v1/leads/lead_01ARZ3NDEKTSV4RRFFQ69G5FAV",
            ),
            ("/leads/sk_live_k1_0123456789abcdefghij/x", "/leads/***/x"),
            ("/acme_test_k1_0123456789abcdefghij", "/***"),
            ("/eyJhbGciOiJIUzI1NiIs.eyJzdWIiOiJ1.c2lnbmF0dXJl", "/***"),
            ("/eye.of.the.tiger", "/eye.of.the.tiger"),
        ] {
            let mut out = String::new();
            write_path(&mut out, path).unwrap();
            assert_eq!(out, expected);
        }
    }
}
