//! A client that sends exactly what it is told.

use std::fmt;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

/// A test that waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends requests to one listener under one Host. Each has a connection of its own.
#[derive(Debug, Clone)]
pub struct Client {
    address: SocketAddr,
    host: String,
    from: Option<IpAddr>,
    tls: Option<Arc<ClientConfig>>,
}

impl Client {
    /// A client of the listener at `address` that says `host`.
    pub fn new(address: SocketAddr, host: &str) -> Self {
        Self { address, host: host.to_owned(), from: None, tls: None }
    }

    /// The same from another address of this machine.
    #[must_use]
    pub fn from(mut self, address: IpAddr) -> Self {
        self.from = Some(address);
        self
    }

    /// The same over TLS, believing the certificate in `pem` alone.
    ///
    /// # Panics
    /// If that is none.
    #[must_use]
    pub fn over_tls(mut self, pem: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate.expect("a certificate")).expect("a root");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        self.tls = Some(Arc::new(config));
        self
    }

    /// A GET request.
    pub fn get(&self, target: &str) -> Request {
        self.request("GET", target)
    }

    /// A POST request with a JSON body.
    pub fn post(&self, target: &str, body: &Value) -> Request {
        self.request("POST", target).json(body)
    }

    /// A request without anything but its Host.
    pub fn request(&self, method: &str, target: &str) -> Request {
        Request {
            client: self.clone(),
            line: format!("{method} {target} HTTP/1.1"),
            headers: vec![("Host".to_owned(), self.host.clone())],
            body: Vec::new(),
            is_head: method == "HEAD",
        }
    }

    /// Sends these bytes and reads what is answered.
    #[track_caller]
    pub fn raw(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut connection = self.connect();
        connection.send(bytes);
        connection.answer(false)
    }

    /// A connection, for what is not one question and one answer.
    ///
    /// # Panics
    /// If there is nobody listening.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        let stream = match self.from {
            None => TcpStream::connect(self.address).expect("somebody listens"),
            Some(from) => {
                let socket = socket2::Socket::new(
                    socket2::Domain::for_address(self.address),
                    socket2::Type::STREAM,
                    None,
                )
                .expect("a socket");
                socket.bind(&SocketAddr::new(from, 0).into()).expect("an address of this machine");
                socket.connect(&self.address.into()).expect("somebody listens");
                socket.into()
            }
        };
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time limit");
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(stream),
            Some(config) => {
                let name = self.host.split(':').next().unwrap_or_default().to_owned();
                let name = ServerName::try_from(name).expect("a name for TLS");
                let client = ClientConnection::new(config.clone(), name).expect("TLS");
                Box::new(StreamOwned::new(client, stream))
            }
        };
        Connection { stream, read: Vec::new() }
    }
}

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// A request on its way.
#[derive(Debug, Clone)]
pub struct Request {
    client: Client,
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    is_head: bool,
}

impl Request {
    /// With `Authorization: Bearer` and this.
    #[must_use]
    pub fn bearer(self, credential: &str) -> Self {
        self.header("Authorization", &format!("Bearer {credential}"))
    }

    /// With one more header, beside any of the same name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("Content-Type", "application/json").body(body.to_string())
    }

    /// With this body and its length.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.header("Content-Length", &length)
    }

    /// With a body in one chunk and these lines as its trailers.
    #[must_use]
    pub fn chunked(mut self, body: &str, trailers: &[&str]) -> Self {
        let lines: String = trailers.iter().map(|line| format!("{line}\r\n")).collect();
        self.body = format!("{:x}\r\n{body}\r\n0\r\n{lines}\r\n", body.len()).into_bytes();
        self.header("Transfer-Encoding", "chunked")
    }

    /// The request as it goes out.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.line).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends it and reads the answer.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn send(self) -> Answer {
        let mut connection = self.client.connect();
        let is_head = self.is_head;
        connection.send(self.header("Connection", "close").bytes());
        connection.answer(is_head)
    }

    /// Sends it, and gives the status of the answer alone.
    #[track_caller]
    pub fn status(self) -> u16 {
        self.send().status
    }
}

/// An open connection.
pub struct Connection {
    stream: Box<dyn Stream>,
    read: Vec<u8>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    /// Sends these bytes, as far as the other side takes them: one that refuses early may have closed by then.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush());
    }

    /// Reads until `end` has come, and gives everything before it and it.
    ///
    /// # Panics
    /// If the connection ends before it.
    #[track_caller]
    pub fn until(&mut self, end: &str) -> String {
        loop {
            let found = self.read.windows(end.len()).position(|window| window == end.as_bytes());
            if let Some(at) = found {
                let rest = self.read.split_off(at + end.len());
                return String::from_utf8_lossy(&std::mem::replace(&mut self.read, rest)).into_owned();
            }
            let more = self.more();
            assert!(more, "the end came before {end:?}: {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    /// Reads to the end of the connection, however it ends.
    pub fn until_closed(&mut self) {
        while self.more() {}
    }

    fn more(&mut self) -> bool {
        let mut bytes = [0; 16_384];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(read) => {
                self.read.extend_from_slice(bytes.get(..read).unwrap_or_default());
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("nothing came: {:?}", String::from_utf8_lossy(&self.read))
            }
            Err(_) => false,
        }
    }

    /// Reads one answer.
    ///
    /// # Panics
    /// If it is none.
    #[track_caller]
    pub fn answer(&mut self, is_head: bool) -> Answer {
        let head = loop {
            let head = self.until("\r\n\r\n");
            if !head.starts_with("HTTP/1.1 100") {
                break head;
            }
        };
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer { status: status.expect("a status"), headers, body: Vec::new() };
        let is_empty = is_head || answer.status == 204 || answer.status == 304;
        if answer.header("transfer-encoding") == Some("chunked") && !is_empty {
            loop {
                let size = usize::from_str_radix(self.until("\r\n").trim(), 16).expect("a chunk's size");
                let chunk = self.exactly(size + 2);
                if size == 0 {
                    break;
                }
                answer.body.extend_from_slice(chunk.get(..size).unwrap_or_default());
            }
        } else if !is_empty {
            match answer.header("content-length").map(|length| length.parse().expect("a length")) {
                Some(length) => answer.body = self.exactly(length),
                None => {
                    self.until_closed();
                    answer.body = std::mem::take(&mut self.read);
                }
            }
        }
        answer
    }

    #[track_caller]
    fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(self.more(), "the end came early");
        }
        let rest = self.read.split_off(length);
        std::mem::replace(&mut self.read, rest)
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header called `name`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What an answer of the management API holds: its `data`. Of a list, which says too where it goes on, and of a problem the whole
    /// answer.
    ///
    /// # Panics
    /// If it is no JSON.
    #[track_caller]
    pub fn data(&self) -> Value {
        let whole = self.json();
        match whole.get("data") {
            Some(data) if !data.is_array() => data.clone(),
            _ => whole,
        }
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {:?}", self.text()))
    }

    /// The same, if it has this status.
    ///
    /// # Panics
    /// If it has another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The same, if it has this status and exactly this body.
    ///
    /// # Panics
    /// If one of them is another.
    #[track_caller]
    pub fn expect_body(self, status: u16, body: &str) -> Self {
        assert_eq!((self.status, self.text().as_str()), (status, body));
        self
    }

    /// The status with the headers that do not differ from one request to the next, and the body: what two
    /// answers that must look the same have in common.
    pub fn look(&self) -> (u16, Vec<(String, String)>, String) {
        let own = ["date", "x-request-id"];
        let headers = self.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
        (self.status, headers.cloned().collect(), self.text())
    }
}
