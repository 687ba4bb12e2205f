//! The one body type of the server: what a client sends, what an upstream
//! answers, and what we write ourselves.
//!
//! A body carries its own bounds: a number of bytes, a time without any byte,
//! and which trailer fields may pass. A bound costs nothing until it is needed;
//! a timer is made only when a frame is not there at once. It also carries
//! whoever has to be told how it ends.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::HeaderName;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::body_error::BodyError;
use super::ending::{Ended, Ending};
use super::pool::Reply;

/// Says of a trailer field whether it may pass.
pub type TrailerFilter = Arc<dyn Fn(&HeaderName) -> bool + Send + Sync>;

/// A request or response body. See the module for what it carries.
pub struct Body {
    source: Source,
    idle: Option<Duration>,
    bounds: Option<Box<Bounds>>,
    ending: Option<Box<dyn Ending>>,
}

impl Body {
    /// A body without a byte.
    #[must_use]
    pub fn empty() -> Self {
        Self::of(Source::Empty)
    }

    /// A body of these bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::empty() } else { Self::of(Source::Full(bytes)) }
    }

    /// A body made while it is sent, such as an event stream.
    pub fn stream(body: impl http_body::Body<Data = Bytes, Error = BodyError> + Send + 'static) -> Self {
        Self::of(Source::Stream(Box::pin(body)))
    }

    pub(super) fn from_client(incoming: Incoming) -> Self {
        Self::of(Source::Client(incoming))
    }

    pub(super) fn from_upstream(reply: Reply<Self>) -> Self {
        Self::of(Source::Upstream(reply))
    }

    fn of(source: Source) -> Self {
        Self { source, idle: None, bounds: None, ending: None }
    }

    /// Tells `ending` how this body ends, and drops it then. A body that is
    /// dropped before its end drops it without a word.
    #[must_use]
    pub fn telling(mut self, ending: Box<dyn Ending>) -> Self {
        self.ending = Some(ending);
        self
    }

    /// Whoever is to be told how this body ends is told now.
    pub(super) fn end(&mut self, how: Ended) {
        if let Some(mut ending) = self.ending.take() {
            ending.ended(how);
        }
    }

    /// The length this body declares, in bytes; `None` if it is known only at its end.
    #[must_use]
    pub fn declared_length(&self) -> Option<u64> {
        http_body::Body::size_hint(self).exact()
    }

    /// Bounds the number of bytes.
    ///
    /// # Errors
    ///
    /// [`BodyError::TooLarge`] at once if the declared length is over `max`, so
    /// that nothing is read and no `100 Continue` is sent. An undeclared length
    /// fails the same way when the bytes are read.
    pub fn limit(mut self, max: u64) -> Result<Self, BodyError> {
        match self.declared_length() {
            Some(length) if length > max => Err(BodyError::TooLarge { max }),
            Some(_) => Ok(self),
            None => {
                let bounds = self.bounds();
                bounds.max = max;
                bounds.left = max;
                Ok(self)
            }
        }
    }

    /// Bounds the time in which no frame comes while one is asked for.
    #[must_use]
    pub fn idle_limit(mut self, after: Duration) -> Self {
        self.idle = Some(after);
        self
    }

    /// Lets only those trailer fields pass for which `keep` says yes.
    #[must_use]
    pub fn filter_trailers(mut self, keep: TrailerFilter) -> Self {
        // A body of a declared length has no trailers in HTTP/1.
        if self.declared_length().is_none() {
            self.bounds().keep = Some(keep);
        }
        self
    }

    fn bounds(&mut self) -> &mut Bounds {
        self.bounds.get_or_insert_default()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = match this.source.poll_frame(context) {
            Poll::Pending => match this.idle {
                Some(idle) => this.bounds().wait(idle, context).map(|error| Some(Err(error))),
                None => Poll::Pending,
            },
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(match &mut this.bounds {
                Some(bounds) => bounds.pass(frame),
                None => Ok(frame),
            })),
            end @ Poll::Ready(_) => end,
        };
        if this.ending.is_some() {
            match &frame {
                Poll::Ready(None) => this.end(Ended::Complete),
                Poll::Ready(Some(Err(error))) => this.end(error.ends()),
                // Whoever writes the body onward may not ask again.
                Poll::Ready(Some(Ok(_))) if this.source.is_end_stream() => this.end(Ended::Complete),
                Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Body")
            .field("declared_length", &self.declared_length())
            .finish_non_exhaustive()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::full(bytes)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::full(text)
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::full(text)
    }
}

enum Source {
    Empty,
    Full(Bytes),
    Client(Incoming),
    Upstream(Reply<Body>),
    Stream(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError> + Send>>),
}

impl Source {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Client(incoming) => http_body::Body::poll_frame(Pin::new(incoming), context)
                .map(|frame| frame.map(|frame| frame.map_err(|error| client_failure(&error)))),
            Self::Upstream(reply) => reply.poll_frame(context),
            Self::Stream(body) => body.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(_) => false,
            Self::Client(incoming) => http_body::Body::is_end_stream(incoming),
            Self::Upstream(reply) => reply.is_end_stream(),
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Client(incoming) => http_body::Body::size_hint(incoming),
            Self::Upstream(reply) => reply.size_hint(),
            Self::Stream(body) => body.size_hint(),
        }
    }
}

/// hyper reports chunks it cannot read as bad input, and everything else about
/// a client's body is its connection ending.
fn client_failure(error: &hyper::Error) -> BodyError {
    let kind = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .map(std::io::Error::kind);
    match kind {
        Some(std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData) => {
            BodyError::ClientMalformed
        }
        _ => BodyError::ClientGone,
    }
}

/// What is needed to bound a body; made for bodies that pause, or have no
/// declared length or filtered trailers.
struct Bounds {
    max: u64,
    left: u64,
    keep: Option<TrailerFilter>,
    timer: Option<Pin<Box<Sleep>>>,
    /// When a frame was last asked for in vain, if one has come since: the
    /// timer is moved only when it fires, not with each frame.
    waiting_since: Option<Instant>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { max: u64::MAX, left: u64::MAX, keep: None, timer: None, waiting_since: None }
    }
}

impl Bounds {
    fn pass(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        self.waiting_since = None;
        let frame = match frame.into_data() {
            Ok(data) => {
                self.left =
                    self.left.checked_sub(data.len() as u64).ok_or(BodyError::TooLarge { max: self.max })?;
                return Ok(Frame::data(data));
            }
            Err(frame) => frame,
        };
        match (frame.into_trailers(), &self.keep) {
            (Ok(trailers), Some(keep)) => Ok(Frame::trailers(filtered(trailers, keep))),
            (Ok(trailers), None) => Ok(Frame::trailers(trailers)),
            (Err(frame), _) => Ok(frame),
        }
    }

    fn wait(&mut self, idle: Duration, context: &mut Context<'_>) -> Poll<BodyError> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(since + idle)));
        while timer.as_mut().poll(context).is_ready() {
            if Instant::now() >= since + idle {
                return Poll::Ready(BodyError::Stalled { after: idle });
            }
            timer.as_mut().reset(since + idle);
        }
        Poll::Pending
    }
}

fn filtered(trailers: HeaderMap, keep: &TrailerFilter) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(trailers.len());
    let mut last: Option<HeaderName> = None;
    for (name, value) in trailers {
        if name.is_some() {
            last = name;
        }
        if let Some(name) = last.as_ref().filter(|name| keep(name)) {
            kept.append(name.clone(), value);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures_util::task::noop_waker_ref;
    use http::HeaderValue;

    use super::*;

    /// Gives these frames in order; `None` is a pause.
    struct Frames(VecDeque<Option<Frame<Bytes>>>);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            match self.0.pop_front() {
                Some(Some(frame)) => Poll::Ready(Some(Ok(frame))),
                Some(None) => Poll::Pending,
                None => Poll::Ready(None),
            }
        }
    }

    fn frames(frames: impl IntoIterator<Item = Option<Frame<Bytes>>>) -> Body {
        Body::stream(Frames(frames.into_iter().collect()))
    }

    fn data(text: &'static str) -> Option<Frame<Bytes>> {
        Some(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    fn poll(body: &mut Body) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        http_body::Body::poll_frame(Pin::new(body), &mut Context::from_waker(noop_waker_ref()))
    }

    #[test]
    fn a_declared_length_over_the_limit_is_refused_before_reading() {
        let refused = Body::full("12345").limit(4);

        assert!(matches!(refused, Err(BodyError::TooLarge { max: 4 })));
        assert!(Body::full("12345").limit(5).is_ok());
    }

    #[test]
    fn an_undeclared_length_over_the_limit_fails_at_the_byte_too_many() {
        let mut body = frames([data("123"), data("45")]).limit(4).unwrap();

        assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(_)))));
        assert!(matches!(poll(&mut body), Poll::Ready(Some(Err(BodyError::TooLarge { max: 4 })))));
    }

    #[test]
    fn trailers_pass_through_the_filter() {
        let mut trailers = HeaderMap::new();
        trailers.append("x-sum", HeaderValue::from_static("1"));
        trailers.append("x-claviger-user", HeaderValue::from_static("root"));
        trailers.append("x-sum", HeaderValue::from_static("2"));
        let mut body = frames([Some(Frame::trailers(trailers))])
            .filter_trailers(Arc::new(|name| !name.as_str().starts_with("x-claviger-")));

        let Poll::Ready(Some(Ok(frame))) = poll(&mut body) else { panic!("no frame") };
        let kept = frame.into_trailers().unwrap();

        assert_eq!(kept.get_all("x-sum").iter().count(), 2);
        assert_eq!(kept.len(), 2);
    }

    #[tokio::test]
    async fn the_idle_limit_counts_from_the_last_frame_and_needs_no_timer_before_a_pause() {
        let limit = Duration::from_millis(50);
        let pauses = std::iter::repeat_with(|| None).take(9);
        let mut body = frames([data("a"), None, data("b")].into_iter().chain(pauses)).idle_limit(limit);

        assert!(poll(&mut body).is_ready());
        assert!(body.bounds.is_none(), "a frame that is there needs no timer");
        assert!(poll(&mut body).is_pending());
        tokio::time::sleep(limit * 2).await;
        assert!(poll(&mut body).is_ready(), "a frame that is there is not late");
        let since = Instant::now();
        let next =
            std::future::poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut body), context)).await;

        assert!(matches!(next, Some(Err(BodyError::Stalled { .. }))));
        assert!(since.elapsed() >= limit);
    }
}
