//! The byte streams hyper reads and writes: a client's connection, which tells
//! its [`Link`] what moves, and a connection to an upstream.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::link::Link;

/// A connection, with or without TLS.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    ServerTls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    ClientTls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

macro_rules! with_stream {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($stream) => $call,
            Socket::Unix($stream) => $call,
            Socket::ServerTls($stream) => $call,
            Socket::ClientTls($stream) => $call,
        }
    };
}

impl Socket {
    /// Makes closing the connection a reset, which no client can take for the
    /// end of an answer. A failure leaves the ordinary close.
    fn reset_on_close(&self) {
        let _ = match self {
            Self::Tcp(stream) => stream.set_zero_linger(),
            Self::ServerTls(stream) => stream.get_ref().0.set_zero_linger(),
            Self::ClientTls(stream) => stream.get_ref().0.set_zero_linger(),
            Self::Unix(_) => Ok(()),
        };
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        with_stream!(self.get_mut(), stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        with_stream!(self.get_mut(), stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // The kernel takes one slice more cheaply as such.
        if let [only] = slices {
            return self.poll_write(context, only);
        }
        with_stream!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        with_stream!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        with_stream!(self.get_mut(), stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        with_stream!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(context))
    }
}

/// Answers a client whose request hyper could not read.
pub(super) trait Unread: Send + Sync {
    /// The whole answer, instead of hyper's own with this status.
    fn answer(&self, status: StatusCode) -> Vec<u8>;
}

/// A client's connection.
pub(super) struct ClientSocket {
    socket: Socket,
    link: Arc<Link>,
    /// Bytes of a head that the link remembers.
    head: usize,
    unread: Arc<dyn Unread>,
    /// What is to be written in place of hyper's own answer, and how much of it has been.
    answer: Vec<u8>,
    written: usize,
    /// Whether everything that hyper wanted to write has been taken.
    is_even: bool,
}

impl fmt::Debug for ClientSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSocket").field("link", &self.link).finish_non_exhaustive()
    }
}

impl ClientSocket {
    pub(super) fn new(socket: Socket, link: Arc<Link>, head: usize, unread: Arc<dyn Unread>) -> Self {
        Self { socket, link, head, unread, answer: Vec::new(), written: 0, is_even: true }
    }

    fn wrote(&mut self, outcome: Poll<io::Result<usize>>, wanted: usize) -> Poll<io::Result<usize>> {
        match &outcome {
            Poll::Pending => self.link.write_blocked(),
            Poll::Ready(_) => self.link.write_moved(),
        }
        self.is_even = matches!(outcome, Poll::Ready(Ok(taken)) if taken == wanted);
        if self.is_even {
            self.link.answer_written();
        }
        outcome
    }

    /// hyper answers a head that it cannot read by itself, with an empty body: those bytes are not written, and an
    /// answer of ours goes out in their place. They can be told from a handler's answer as no handler has been asked
    /// since everything before them was written.
    fn is_hypers_own(&mut self, bytes: &[u8]) -> bool {
        if !self.is_even || self.link.owes_an_answer() {
            return false;
        }
        let Some(status) = own_status(bytes) else { return false };
        self.answer = self.unread.answer(status);
        true
    }

    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.answer.get(self.written..).filter(|rest| !rest.is_empty()) {
            let taken = ready!(Pin::new(&mut self.socket).poll_write(context, rest))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += taken;
        }
        Poll::Ready(Ok(()))
    }
}

/// The status of an answer that nobody but hyper makes.
fn own_status(bytes: &[u8]) -> Option<StatusCode> {
    let rest = bytes.strip_prefix(b"HTTP/1.1 ").or_else(|| bytes.strip_prefix(b"HTTP/1.0 "))?;
    let status = StatusCode::from_bytes(rest.get(..3)?).ok()?;
    let is_one = matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::URI_TOO_LONG | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    (is_one && bytes.ends_with(b"\r\n\r\n")).then_some(status)
}

impl Drop for ClientSocket {
    fn drop(&mut self) {
        if self.link.must_reset() {
            self.socket.reset_on_close();
        }
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.socket).poll_read(context, buffer);
        if let Some(bytes) = buffer.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
            self.link.received(bytes, self.head);
        }
        outcome
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_hypers_own(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let outcome = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.wrote(outcome, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices
            && self.is_hypers_own(only)
        {
            return Poll::Ready(Ok(only.len()));
        }
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.wrote(outcome, slices.iter().map(|slice| slice.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_answer(context))?;
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_answer(context))?;
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
