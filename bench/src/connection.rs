//! A kept connection, for what wrk cannot do: another request each time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::workshop::HOST;

const TIME: Duration = Duration::from_secs(10);

/// One at a time, whose answers say how long they are.
#[derive(Debug)]
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn open(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), TIME)?;
        stream.set_read_timeout(Some(TIME))?;
        stream.set_write_timeout(Some(TIME))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// The status, with `authorization` as the value of that header.
    pub(crate) fn get(&mut self, path: &str, authorization: &str) -> anyhow::Result<u16> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: {authorization}\r\n\r\n");
        Ok(self.exchange(&head)?.0)
    }

    /// The status and the body.
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<(u16, String)> {
        let (body, kind) = (body.to_string(), "Content-Type: application/json");
        let length = body.len();
        self.exchange(&format!(
            "POST {path} HTTP/1.1\r\nHost: {HOST}\r\n{kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    fn exchange(&mut self, request: &str) -> anyhow::Result<(u16, String)> {
        self.0.get_mut().write_all(request.as_bytes())?;
        let (mut status, mut length) = (None, None);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            let line = line.trim_end();
            match (status, line.split_once(':')) {
                (None, _) => {
                    let code = line.split(' ').nth(1).context("the answer has no status")?;
                    status = Some(code.parse::<u16>()?);
                }
                (_, Some((name, value))) if name.eq_ignore_ascii_case("content-length") => {
                    length = Some(value.trim().parse::<usize>()?);
                }
                (Some(status), None) => {
                    let mut body = vec![0; length.context("the answer does not say how long it is")?];
                    self.0.read_exact(&mut body)?;
                    return Ok((status, String::from_utf8(body)?));
                }
                _ => {}
            }
        }
    }
}
