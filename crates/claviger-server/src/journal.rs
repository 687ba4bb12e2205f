//! The last step: what happened is written down, whatever it was.
//!
//! A line of the access log is appended to its core's own buffer, and one thread writes the buffers out ten times
//! a second. So a request neither waits for a disk nor makes a system call, and a log that cannot keep up loses
//! lines, counted, rather than slowing anybody down. Lines of different cores can change places within that tenth
//! of a second; their request ids are in order.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use claviger::clock::UnixMillis;
use claviger::id::ApiName;
use claviger::refusal::Who;
use http::StatusCode;
use prometheus_client::metrics::counter::Counter;

use crate::config::AccessLog;
use crate::redact::redact;
use crate::refused::Refused;
use crate::wire::Ended;

/// How much a core may have unwritten before it loses lines.
const MAX_BUFFER: usize = 4 << 20;
/// How much of a path is written down, in characters.
const MAX_PATH: usize = 512;
const INTERVAL: Duration = Duration::from_millis(100);

/// The access log.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    cores: Box<[Mutex<Buffer>]>,
    lost: Counter,
    stop: AtomicBool,
    reopen: AtomicBool,
}

/// What a core has written down and nobody has written out.
#[derive(Debug, Default)]
struct Buffer {
    lines: String,
    /// The second of the last line, and how it is spelt: most lines share it with the one before.
    second: i64,
    spelt: String,
}

/// Where the lines go.
struct Sink {
    out: Box<dyn Write + Send>,
    /// The file, where it is one.
    path: Option<PathBuf>,
    /// Whether the last write failed, perhaps in the middle of a line.
    is_torn: bool,
}

/// One request as the journal writes it.
#[derive(Debug)]
pub struct Line<'a> {
    /// When it came.
    pub at: UnixMillis,
    /// Its id.
    pub request_id: &'a str,
    /// The API; `None` if the request was for none.
    pub api: Option<&'a ApiName>,
    /// Its method.
    pub method: &'a str,
    /// Its path, without the query, which may hold what nobody should read.
    pub path: &'a str,
    /// Where it came from.
    pub client: &'a str,
    /// What it was answered with; 499 if its end came before an answer.
    pub status: StatusCode,
    /// How long until the head of the answer, in microseconds.
    pub micros: u64,
    /// How long until its end, in microseconds.
    pub total_micros: u64,
    /// Whose credential it showed, as far as that is known.
    pub whose: Option<Whose<'a>>,
    /// Why it was not served, if it was not.
    pub refused: Option<&'a Refused>,
    /// The upstream, where it is to blame.
    pub upstream: Option<&'a str>,
    /// How it ended.
    pub ended: Ended,
}

/// Whose credential a request showed.
#[derive(Debug, Clone, Copy)]
pub enum Whose<'a> {
    /// As it was spelt for the upstream already.
    Spelt(Ids<'a>),
    /// As it was found.
    Found(&'a Who),
}

/// Ids, spelt.
#[derive(Debug, Clone, Copy)]
pub struct Ids<'a> {
    /// The tenant's id.
    pub tenant: &'a str,
    /// The organization's id.
    pub org: &'a str,
    /// Live or sandbox.
    pub environment: &'a str,
    /// The credential's public id.
    pub credential: &'a str,
}

impl Journal {
    /// Begins a log for so many cores.
    ///
    /// # Errors
    /// If the file cannot be opened or the thread cannot be started.
    pub fn open(to: &AccessLog, cores: usize, lost: Counter) -> std::io::Result<Self> {
        let sink = match to {
            AccessLog::Off => None,
            AccessLog::Stdout => Some(Sink { out: Box::new(std::io::stdout()), path: None, is_torn: false }),
            AccessLog::File(path) => {
                Some(Sink { out: Box::new(end_of(path)?), path: Some(path.clone()), is_torn: false })
            }
        };
        let cores = if sink.is_some() { cores } else { 0 };
        let shared = Arc::new(Shared {
            cores: (0..cores).map(|_| Mutex::default()).collect(),
            lost,
            stop: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
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

    /// Has the file opened anew, so that one that was moved away is let go. Takes effect within a moment.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Relaxed);
    }

    /// Writes down a request.
    pub fn note(&self, core: usize, line: &Line<'_>) {
        let Some(buffer) = self.shared.cores.get(core) else { return };
        let mut buffer = buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.lines.len() > MAX_BUFFER {
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

/// The file at `path`, to be written at its end.
fn end_of(path: &Path) -> std::io::Result<File> {
    // Addresses and the ids of credentials are not for everybody on the machine.
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

impl Sink {
    /// Opens the file anew. The old one goes on if that fails.
    fn reopen(&mut self) {
        let Some(path) = &self.path else { return };
        match end_of(path) {
            Ok(file) => {
                self.out = Box::new(file);
                self.is_torn = false;
            }
            Err(error) => tracing::error!(%error, "the access log could not be opened anew"),
        }
    }

    fn write(&mut self, lines: &str) -> std::io::Result<()> {
        // What came before may have ended in the middle of a line.
        let gap: &[u8] = if self.is_torn { b"\n" } else { b"" };
        let written = self.out.write_all(gap).and_then(|()| self.out.write_all(lines.as_bytes()));
        let written = written.and_then(|()| self.out.flush());
        self.is_torn = written.is_err();
        written
    }
}

fn write_out(shared: &Shared, mut sink: Sink) {
    let mut full = String::new();
    let mut failed = false;
    loop {
        let stopping = shared.stop.load(Ordering::Relaxed);
        if shared.reopen.swap(false, Ordering::Relaxed) {
            sink.reopen();
        }
        for core in &shared.cores {
            full.clear();
            std::mem::swap(&mut full, &mut core.lock().unwrap_or_else(PoisonError::into_inner).lines);
            if full.is_empty() {
                continue;
            }
            if let Err(error) = sink.write(&full) {
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
    fn write(&self, buffer: &mut Buffer) -> std::fmt::Result {
        let Buffer { lines: out, second, spelt } = buffer;
        if spelt.is_empty() || *second != self.at.seconds() {
            *second = self.at.seconds();
            spelt.clear();
            match jiff::Timestamp::from_second(*second) {
                Ok(at) => write!(spelt, "{at}")?,
                Err(_) => write!(spelt, "{second}Z")?,
            }
            // The milliseconds go before the letter.
            spelt.pop();
        }
        let millis = self.at.0.rem_euclid(1000);
        put(out, &["{\"at\":\"", spelt]);
        write!(out, ".{millis:03}Z")?;
        put(out, &["\",\"request_id\":\"", self.request_id, "\""]);
        if let Some(api) = self.api {
            put(out, &[",\"api\":\"", api.as_str(), "\""]);
        }
        put(out, &[",\"method\":\""]);
        Escaped(out).write_str(&redact(shortened(self.method)))?;
        put(out, &["\",\"path\":\""]);
        Escaped(out).write_str(shortened(&redact(self.path)))?;
        put(out, &["\",\"client\":\"", self.client, "\",\"status\":", self.status.as_str()]);
        let (mut micros, mut total) = (itoa::Buffer::new(), itoa::Buffer::new());
        put(out, &[",\"micros\":", micros.format(self.micros)]);
        put(out, &[",\"total_micros\":", total.format(self.total_micros)]);
        match self.whose {
            None => {}
            Some(Whose::Spelt(Ids { tenant, org, environment, credential })) => {
                put(out, &[",\"tenant\":\"", tenant, "\",\"org\":\"", org, "\",\"environment\":\""]);
                put(out, &[environment, "\",\"credential\":\"", credential, "\""]);
            }
            Some(Whose::Found(who)) => {
                let environment = who.environment.as_str();
                write!(out, ",\"tenant\":\"{}\",\"org\":\"{}\"", who.tenant, who.org)?;
                put(
                    out,
                    &[",\"environment\":\"", environment, "\",\"credential\":\"", &who.credential, "\""],
                );
            }
        }
        if let Some(upstream) = self.upstream {
            put(out, &[",\"upstream\":\""]);
            Escaped(out).write_str(upstream)?;
            out.push('"');
        }
        if let Some(refused) = self.refused {
            write!(out, ",\"code\":\"{}\",\"reason\":\"", refused.code().as_str())?;
            write!(Escaped(out), "{refused}")?;
            out.push('"');
        }
        if self.ended != Ended::Complete {
            put(out, &[",\"end\":\"", self.ended.as_str(), "\""]);
        }
        out.push_str("}\n");
        Ok(())
    }
}

/// As much of a text as is written down.
fn shortened(text: &str) -> &str {
    if text.len() <= MAX_PATH {
        return text;
    }
    let end = text.char_indices().nth(MAX_PATH).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or_default()
}

/// Appends the texts, without the machinery of formatting: this runs for every request.
fn put(out: &mut String, texts: &[&str]) {
    for text in texts {
        out.push_str(text);
    }
}

/// Writes text as the inside of a JSON string.
struct Escaped<'a>(&'a mut String);

impl std::fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if text.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\')) {
            self.0.push_str(text);
            return Ok(());
        }
        for c in text.chars() {
            match c {
                '"' | '\\' => {
                    self.0.push('\\');
                    self.0.push(c);
                }
                c if c.is_control() => write!(self.0, "\\u{:04x}", u32::from(c))?,
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_written_can_be_read_as_json() {
        let odd = "a \"quote\", a \\, a line\nbreak, \u{7f} and \u{e9}";
        let mut text = String::from("\"");
        Escaped(&mut text).write_str(odd).unwrap();
        text.push('"');
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), odd);
    }

    #[test]
    fn a_line_after_a_torn_one_stands_by_itself() {
        /// Fails once, in the middle of what it was given.
        #[derive(Clone, Default)]
        struct Torn(Arc<Mutex<(usize, Vec<u8>)>>);
        impl Write for Torn {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                let mut inner = self.0.lock().unwrap();
                inner.0 += 1;
                match inner.0 {
                    1 => {
                        inner.1.extend(&bytes[..2]);
                        Ok(2)
                    }
                    2 => Err(std::io::ErrorKind::StorageFull.into()),
                    _ => {
                        inner.1.extend(bytes);
                        Ok(bytes.len())
                    }
                }
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let torn = Torn::default();
        let mut sink = Sink { out: Box::new(torn.clone()), path: None, is_torn: false };
        assert!(sink.write("{\"lost\":1}\n").is_err());
        sink.write("{}\n").unwrap();
        assert_eq!(torn.0.lock().unwrap().1, b"{\"\n{}\n");
    }
}
