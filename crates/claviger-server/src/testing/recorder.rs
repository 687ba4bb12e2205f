//! An upstream that keeps every byte it gets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its first line.
    pub line: String,
    /// Its headers, names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    /// Its body, without its framing.
    pub body: Vec<u8>,
    /// Its trailers, names in lower case.
    pub trailers: Vec<(String, String)>,
    /// Every byte of it.
    pub raw: Vec<u8>,
}

impl Received {
    /// The one header called `name`.
    ///
    /// # Panics
    /// If there is none, or more than one.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let found: Vec<&str> = self.all(name);
        assert_eq!(found.len(), 1, "`{name}` once in {:?}", self.headers);
        found.first().expect("one header")
    }

    /// All values of `name`.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Whether these bytes are anywhere in it.
    pub fn has(&self, bytes: impl AsRef<[u8]>) -> bool {
        let bytes = bytes.as_ref();
        self.raw.windows(bytes.len()).any(|window| window.eq_ignore_ascii_case(bytes))
    }
}

/// An upstream that answers 200 with `{"ok":true}` and keeps what it received.
///
/// Some things are answered in another way. A WebSocket handshake is accepted and every byte after it sent back, but under
/// `/declined`, where it gets what `/events` gets: a stream of server-sent events without an end. Under `/broken` the
/// connection is closed without an answer, under `/torn` in the middle of one; under `/hanging` there is none.
#[derive(Debug)]
pub struct Recorder {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    stop: AtomicBool,
}

impl Shared {
    fn received(&self) -> MutexGuard<'_, Vec<Received>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    /// What it does something particular at, besides what APIs list.
    pub(super) const PATHS: [&'static str; 4] = ["/events", "/broken", "/torn", "/hanging"];

    /// Starts one.
    ///
    /// # Panics
    /// If there is no port for it.
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let accepting = {
            let shared = shared.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    if shared.stop.load(Ordering::Acquire) {
                        return;
                    }
                    let (Ok(stream), shared) = (stream, shared.clone()) else { continue };
                    // A connection that ends in the middle of a request is kept as far as it came: not at all.
                    std::thread::spawn(move || serve(stream, &shared));
                }
            })
        };
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Where it is, as a setting says it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything received so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received().clone()
    }

    /// How much was received so far.
    pub fn count(&self) -> usize {
        self.shared.received().len()
    }

    /// What was received last.
    ///
    /// # Panics
    /// If nothing was.
    #[track_caller]
    pub fn last(&self) -> Received {
        self.shared.received().last().expect("something was received").clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        // The next connection is the last.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    let mut buffer = Vec::new();
    while let Some(received) = read(&mut stream, &mut buffer) {
        let path = received.line.split(' ').nth(1).unwrap_or_default().to_owned();
        let key = received.headers.iter().find(|(name, _)| name == "sec-websocket-key");
        let accept = key.map(|(_, key)| {
            let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
            STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
        });
        shared.received().push(received);
        let answered = match accept {
            Some(_) if path.starts_with("/declined") => return drop(events(&mut stream)),
            Some(accept) => return drop(echo(&mut stream, &accept)),
            None if path.starts_with("/events") => return drop(events(&mut stream)),
            None if path.starts_with("/broken") => return,
            // Until the other side gives up.
            None if path.starts_with("/hanging") => {
                let _gone = more(&mut stream, &mut buffer);
                return;
            }
            None if path.starts_with("/torn") => {
                return drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"));
            }
            None => stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}",
            ),
        };
        if answered.is_err() {
            return;
        }
    }
}

fn echo(stream: &mut TcpStream, accept: &str) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )?;
    let mut buffer = [0; 1024];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(buffer.get(..read).unwrap_or_default())?;
    }
}

fn events(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    loop {
        stream.write_all(b"c\r\ndata: tick\n\n\r\n")?;
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One request, or none if the connection ends.
fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Received> {
    let mut raw = until(stream, buffer, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&raw).into_owned();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let headers = fields(lines);
    let value = |name: &str| headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
    let (mut body, mut trailers) = (Vec::new(), Vec::new());
    if value("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        loop {
            let size = until(stream, buffer, b"\r\n")?;
            raw.extend_from_slice(&size);
            let length = usize::from_str_radix(String::from_utf8_lossy(&size).trim(), 16).ok()?;
            if length == 0 {
                break;
            }
            let chunk = exactly(stream, buffer, length + 2)?;
            raw.extend_from_slice(&chunk);
            body.extend_from_slice(chunk.get(..length)?);
        }
        loop {
            let line = until(stream, buffer, b"\r\n")?;
            raw.extend_from_slice(&line);
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if text.is_empty() {
                break;
            }
            trailers.extend(fields([text.as_str()].into_iter()));
        }
    } else if let Some(length) = value("content-length") {
        body = exactly(stream, buffer, length.parse().ok()?)?;
        raw.extend_from_slice(&body);
    }
    Some(Received { line, headers, body, trailers, raw })
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect()
}

fn until(stream: &mut TcpStream, buffer: &mut Vec<u8>, end: &[u8]) -> Option<Vec<u8>> {
    loop {
        if let Some(at) = buffer.windows(end.len()).position(|window| window == end) {
            return exactly(stream, buffer, at + end.len());
        }
        more(stream, buffer)?;
    }
}

fn exactly(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    while buffer.len() < length {
        more(stream, buffer)?;
    }
    let rest = buffer.split_off(length);
    Some(std::mem::replace(buffer, rest))
}

fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut bytes = [0; 8192];
    match stream.read(&mut bytes) {
        Ok(0) | Err(_) => None,
        Ok(read) => {
            buffer.extend_from_slice(bytes.get(..read)?);
            Some(())
        }
    }
}
