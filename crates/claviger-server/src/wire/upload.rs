//! A request body on its way to an upstream, and what became of it.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::body_error::BodyError;
use super::lock::lock;

/// What the sender of a request wants to know of its body.
#[derive(Debug)]
pub(super) struct Progress {
    failure: Mutex<Option<BodyError>>,
    moved: Mutex<Instant>,
}

impl Progress {
    /// The failure of the body, if the client is to blame for the end.
    pub(super) fn take_failure(&self) -> Option<BodyError> {
        lock(&self.failure).take()
    }

    /// When the upload last moved; an upstream that still takes the request is
    /// not late with its answer.
    pub(super) fn moved(&self) -> Instant {
        *lock(&self.moved)
    }

    fn touch(&self) {
        *lock(&self.moved) = Instant::now();
    }
}

/// The body given to hyper.
pub(super) struct Upload<B> {
    body: B,
    /// `None` for a request without a body.
    progress: Option<Arc<Progress>>,
}

impl<B: http_body::Body<Data = Bytes, Error = BodyError>> Upload<B> {
    pub(super) fn new(body: B) -> (Self, Option<Arc<Progress>>) {
        let progress = (!http_body::Body::is_end_stream(&body))
            .then(|| Arc::new(Progress { failure: Mutex::new(None), moved: Mutex::new(Instant::now()) }));
        (Self { body, progress: progress.clone() }, progress)
    }
}

impl<B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin> http_body::Body for Upload<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let Some(progress) = &self.progress else { return frame };
        match frame {
            Poll::Ready(Some(Err(error))) => {
                // hyper shows only that some body failed; the sender of the
                // request has to know which way.
                let shown = BodyError::Produced("request body failed".into());
                *lock(&progress.failure) = Some(error);
                Poll::Ready(Some(Err(shown)))
            }
            Poll::Ready(frame) => {
                progress.touch();
                Poll::Ready(frame)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
