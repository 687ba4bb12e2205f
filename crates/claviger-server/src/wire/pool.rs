//! Connections to one upstream, kept by one core for its next request.
//!
//! A connection comes back only when its response was read to its end and hyper
//! is ready for the next request; in every other case it is closed. The one used
//! last is used first, so that the others grow old and are closed before the
//! upstream closes them.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::body_error::BodyError;
use super::lock::lock;
use super::upload::Upload;

/// An open connection to an upstream, for requests with bodies of one kind. Dropping it closes the connection.
pub(super) struct Line<B> {
    pub(super) sender: SendRequest<Upload<B>>,
    task: AbortHandle,
}

impl<B> Line<B> {
    /// `task` is the task that moves the connection's bytes.
    pub(super) fn new(sender: SendRequest<Upload<B>>, task: AbortHandle) -> Self {
        Self { sender, task }
    }
}

impl<B> Drop for Line<B> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The idle connections of one core to one upstream.
pub(super) struct Pool<B> {
    idle: Mutex<Vec<Idle<B>>>,
    most: usize,
    keep: Duration,
    is_swept: AtomicBool,
}

struct Idle<B> {
    line: Line<B>,
    since: Instant,
}

impl<B: Send + 'static> Pool<B> {
    /// At most `most` connections are kept, each for at most `keep`.
    pub(super) fn new(most: usize, keep: Duration) -> Self {
        Self { idle: Mutex::new(Vec::new()), most, keep, is_swept: AtomicBool::new(false) }
    }

    /// A connection that is open and ready as far as this side can know.
    pub(super) fn take(&self) -> Option<Line<B>> {
        let mut idle = lock(&self.idle);
        loop {
            let Idle { line, since } = idle.pop()?;
            // Those below are older still.
            if since.elapsed() >= self.keep {
                idle.clear();
                return None;
            }
            if line.sender.is_ready() && !line.sender.is_closed() {
                return Some(line);
            }
        }
    }

    fn put(self: &Arc<Self>, line: Line<B>) {
        if self.most == 0 || !line.sender.is_ready() {
            return;
        }
        let mut idle = lock(&self.idle);
        if idle.len() >= self.most {
            // The one at the bottom is the oldest.
            idle.remove(0);
        }
        idle.push(Idle { line, since: Instant::now() });
        if !self.is_swept.swap(true, Ordering::Relaxed) {
            tokio::spawn(sweep(self.clone()));
        }
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.idle).len()
    }
}

/// Closes connections that have been idle for too long, until there are none.
async fn sweep<B: Send + 'static>(pool: Arc<Pool<B>>) {
    loop {
        let next = {
            let mut idle = lock(&pool.idle);
            idle.retain(|idle| idle.since.elapsed() < pool.keep && !idle.line.sender.is_closed());
            let Some(oldest) = idle.first() else {
                pool.is_swept.store(false, Ordering::Relaxed);
                return;
            };
            oldest.since + pool.keep
        };
        tokio::time::sleep_until(next).await;
    }
}

/// A connection in use, and where it goes back to, if anywhere.
type Held<B> = (Line<B>, Option<Arc<Pool<B>>>);

/// A response body from an upstream; holds the connection it comes by.
pub(super) struct Reply<B> {
    incoming: Incoming,
    held: Option<Held<B>>,
}

impl<B: Send + 'static> Reply<B> {
    /// The connection goes back to `home` when the body has been read to its
    /// end; without a home it is closed then.
    pub(super) fn new(incoming: Incoming, line: Line<B>, home: Option<Arc<Pool<B>>>) -> Self {
        let mut reply = Self { incoming, held: Some((line, home)) };
        if reply.is_end_stream() {
            reply.finish();
        }
        reply
    }

    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = http_body::Body::poll_frame(Pin::new(&mut self.incoming), context);
        frame.map(|frame| match frame {
            Some(Ok(frame)) => {
                // Whoever writes the body onward may not ask again after these.
                if frame.is_trailers() || self.is_end_stream() {
                    self.finish();
                }
                Some(Ok(frame))
            }
            Some(Err(_)) => {
                self.held = None;
                Some(Err(BodyError::UpstreamBroken))
            }
            None => {
                self.finish();
                None
            }
        })
    }

    pub(super) fn is_end_stream(&self) -> bool {
        http_body::Body::is_end_stream(&self.incoming)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.incoming)
    }

    fn finish(&mut self) {
        if let Some((line, Some(home))) = self.held.take() {
            home.put(line);
        }
    }
}
