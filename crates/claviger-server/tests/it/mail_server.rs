//! A mail server for tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Security {
    Tls,
    StartTls,
}

fn encrypted(config: &Arc<ServerConfig>, stream: TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
    StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream)
}

/// Speaks with a client until it goes, or gives the stream back when it wants TLS.
fn talk<S: Read + Write>(stream: S, taken: &Mutex<Vec<String>>, hello: &str) -> Option<S> {
    answer(stream, taken, ("220 here", hello))
}

/// The same once TLS is there: there is no second greeting (RFC 3207, section 4.2).
fn talk_on<S: Read + Write>(stream: S, taken: &Mutex<Vec<String>>) -> Option<S> {
    answer(stream, taken, ("", "250 here"))
}

fn answer<S: Read + Write>(
    stream: S,
    taken: &Mutex<Vec<String>>,
    (greeting, hello): (&str, &str),
) -> Option<S> {
    let mut stream = BufReader::new(stream);
    let mut mail: Option<String> = None;
    let mut said = greeting.to_owned();
    loop {
        if !said.is_empty() {
            stream.get_mut().write_all(format!("{said}\r\n").as_bytes()).ok()?;
            stream.get_mut().flush().ok()?;
        }
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        said = match &mut mail {
            Some(text) if line == "." => {
                taken.lock().unwrap().push(std::mem::take(text));
                mail = None;
                "250 taken".to_owned()
            }
            Some(text) => {
                text.push_str(line);
                text.push_str("\r\n");
                String::new()
            }
            None if line.starts_with("EHLO") => hello.to_owned(),
            None if line == "STARTTLS" && hello.contains(line) => {
                stream.get_mut().write_all(b"220 go on\r\n").ok()?;
                return Some(stream.into_inner());
            }
            None if line.starts_with("RCPT TO:<nobody@") => "550 5.1.1 nobody@x.example is nobody".to_owned(),
            None if line == "DATA" => {
                mail = Some(String::new());
                "354 go on".to_owned()
            }
            None if line == "QUIT" => "221 bye".to_owned(),
            None => "250 fine".to_owned(),
        };
    }
}

/// A mail server (RFC 5321) that keeps what it takes, and refuses whoever is called `nobody`.
#[derive(Debug, Default)]
pub(crate) struct MailServer {
    taken: Arc<Mutex<Vec<String>>>,
}

impl MailServer {
    pub(crate) fn listen(listener: TcpListener) -> Self {
        Self::listen_with(listener, None)
    }

    /// With a certificate it speaks TLS from the first byte, or offers STARTTLS.
    pub(crate) fn listen_with(listener: TcpListener, tls: Option<(Arc<ServerConfig>, Security)>) -> Self {
        let server = Self::default();
        let taken = server.taken.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                // Whoever does not trust it says so by going.
                let _ = match &tls {
                    None => talk(stream, &taken, "250 here").map(drop),
                    Some((config, Security::Tls)) => {
                        talk(encrypted(config, stream), &taken, "250 here").map(drop)
                    }
                    Some((config, Security::StartTls)) => {
                        let in_clear = talk(stream, &taken, "250-here\r\n250 STARTTLS");
                        in_clear.and_then(|stream| talk_on(encrypted(config, stream), &taken)).map(drop)
                    }
                };
            }
        });
        server
    }

    /// The mails that it has taken, as they came.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }
}
