//! Requests as Claviger forwards them: caught on their way to an upstream, changed, and sent again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::support::{Answer, connect, read_answer};

/// A request: its first line without the version, its headers in their order, and its body.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Sent {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: String::new() }
    }

    /// Reads one; `None` at the end of the connection.
    fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Self>> {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let mut words = first.split(' ');
        let mut sent = Self::new(words.next().unwrap(), words.next().unwrap());
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            sent.headers.push((name.to_owned(), value.to_owned()));
        }
        let length = sent.all("content-length").first().map_or(0, |length| length.parse().unwrap());
        reader.take(length).read_to_string(&mut sent.body)?;
        Ok(Some(sent))
    }

    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a header that is there once.
    pub(crate) fn header(&self, name: &str) -> &str {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "`{name}` once in {self:?}");
        all[0]
    }

    /// The same with one more header.
    pub(crate) fn and(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same without a header.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        self
    }

    /// The same with another value of a header.
    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        self.without(name).and(name, value)
    }

    /// The same with a header repeated.
    pub(crate) fn twice(self, name: &str) -> Self {
        let value = self.header(name).to_owned();
        self.and(name, &value)
    }

    /// The same to another target.
    pub(crate) fn at(self, target: &str) -> Self {
        Self { target: target.into(), ..self }
    }

    /// The same with another method.
    pub(crate) fn by(self, method: &str) -> Self {
        Self { method: method.into(), ..self }
    }

    /// The same with a JSON body.
    pub(crate) fn saying(mut self, body: &str) -> Self {
        self.body = body.into();
        self.and("content-type", "application/json").and("content-length", &body.len().to_string())
    }

    fn write(&self, to: &mut impl Write) -> std::io::Result<()> {
        let Self { method, target, headers, body } = self;
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        to.write_all(format!("{method} {target} HTTP/1.1\r\n{headers}\r\n{body}").as_bytes())
    }

    /// Sends it on a connection of its own.
    pub(crate) fn to(&self, address: SocketAddr) -> Answer {
        let mut stream = connect(address);
        self.write(&mut stream).unwrap();
        let mut reader = BufReader::new(stream);
        if self.method == "HEAD" {
            let mut head = String::new();
            reader.read_line(&mut head).unwrap();
            return Answer { status: head[9..12].parse().unwrap(), head, body: String::new() };
        }
        read_answer(&mut reader)
    }
}

/// Stands between Claviger and an upstream. What passes is kept; where there is no upstream, it answers itself.
#[derive(Debug, Clone)]
pub(crate) struct Tap {
    pub(crate) address: SocketAddr,
    upstream: Arc<Mutex<Option<SocketAddr>>>,
    passed: Arc<Mutex<Vec<Sent>>>,
}

impl Tap {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let tap = Self { address, upstream: Arc::default(), passed: Arc::default() };
        let shared = tap.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shared) = (stream.unwrap(), shared.clone());
                // One end that goes away ends the thread.
                std::thread::spawn(move || shared.pass(stream));
            }
        });
        tap
    }

    /// From now on connections lead there.
    pub(crate) fn lead_to(&self, upstream: SocketAddr) {
        *self.upstream.lock().unwrap() = Some(upstream);
    }

    /// What passed last.
    pub(crate) fn last(&self) -> Sent {
        self.passed.lock().unwrap().last().expect("something passed").clone()
    }

    fn pass(&self, near: TcpStream) -> std::io::Result<()> {
        let upstream = *self.upstream.lock().unwrap();
        let mut far = upstream.map(TcpStream::connect).transpose()?;
        if let Some(far) = &far {
            let (mut from, mut to) = (far.try_clone()?, near.try_clone()?);
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                to.shutdown(Shutdown::Both)
            });
        }
        let mut reader = BufReader::new(near);
        while let Some(sent) = Sent::read(&mut reader)? {
            self.passed.lock().unwrap().push(sent.clone());
            match &mut far {
                Some(far) => sent.write(far)?,
                None => reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?,
            }
        }
        far.map_or(Ok(()), |far| far.shutdown(Shutdown::Write))
    }
}
