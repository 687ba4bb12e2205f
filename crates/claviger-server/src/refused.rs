//! Why a request is not answered by its upstream: a decision's refusal, or what only a server before an API can refuse
//! for. The only place where the latter become a status and a code.

use std::error::Error;
use std::fmt;

use claviger::code::Code;
use claviger::refusal::{Reason, Refusal, Who};
use http::StatusCode;

use crate::failure::{Failure, FailureKind};
use crate::wire::{BodyError, SendError, TunnelError};

/// A request that its upstream does not answer.
#[derive(Debug)]
pub enum Refused {
    /// It was not let in.
    Decision(Refusal),
    /// It was, or was not looked at, and cannot be served.
    Fault(Fault),
    /// It asked for something of Claviger itself, which failed.
    Failed(Failure),
}

/// What only a server before an API refuses a request for.
#[derive(Debug)]
pub enum Fault {
    /// No API answers to its host.
    Misdirected {
        /// Why not.
        why: &'static str,
    },
    /// Its head is over the limits.
    HeadTooLarge,
    /// Its body is over the limit.
    BodyTooLarge,
    /// Its body did not come in time.
    RequestTimeout,
    /// Its client went away: nobody gets to see an answer.
    ClientGone,
    /// The upstream failed.
    Upstream(SendError),
    /// The upstream was too slow.
    UpstreamTimeout(SendError),
    /// The signing keys could not be read.
    KeysUnavailable,
    /// The server has given its store to the next one.
    HandedOver,
}

/// What nginx made the word for a client that has closed its connection.
pub(crate) const CLIENT_CLOSED_REQUEST: u16 = 499;

impl Fault {
    fn status(&self) -> StatusCode {
        match self {
            Self::Misdirected { .. } => StatusCode::MISDIRECTED_REQUEST,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::ClientGone => {
                StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::BAD_REQUEST)
            }
            Self::Upstream(_) => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::KeysUnavailable | Self::HandedOver => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Misdirected { .. } => Code::MisdirectedRequest,
            Self::HeadTooLarge => Code::HeadersTooLarge,
            Self::BodyTooLarge => Code::PayloadTooLarge,
            Self::RequestTimeout => Code::RequestTimeout,
            Self::ClientGone => Code::BadRequest,
            Self::Upstream(_) => Code::BadGateway,
            Self::UpstreamTimeout(_) => Code::GatewayTimeout,
            Self::KeysUnavailable | Self::HandedOver => Code::Unavailable,
        }
    }

    /// Whether the rest of the request is not worth reading, so that its connection is closed.
    pub(crate) fn leaves_a_body(&self) -> bool {
        matches!(self, Self::BodyTooLarge | Self::RequestTimeout | Self::ClientGone)
    }

    /// Whether it is the upstream's.
    pub(crate) fn is_upstreams(&self) -> bool {
        matches!(self, Self::Upstream(_) | Self::UpstreamTimeout(_))
    }
}

/// For the log: what was found, down to what the system said.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misdirected { why } => write!(f, "misdirected: {why}"),
            Self::HeadTooLarge => f.write_str("the head is too large"),
            Self::BodyTooLarge => f.write_str("the body is too large"),
            Self::RequestTimeout => f.write_str("the request took too long to arrive"),
            Self::ClientGone => f.write_str("the client went away"),
            Self::Upstream(error) | Self::UpstreamTimeout(error) => {
                write!(f, "{error}")?;
                let mut cause = error.source();
                while let Some(error) = cause {
                    write!(f, ": {error}")?;
                    cause = error.source();
                }
                Ok(())
            }
            Self::KeysUnavailable => f.write_str("the signing keys could not be read"),
            Self::HandedOver => f.write_str("the next server on the store decides"),
        }
    }
}

impl Refused {
    /// The status a client sees.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Decision(refusal) => refusal.status(),
            Self::Fault(fault) => fault.status(),
            Self::Failed(failure) => of_failure(failure.kind).0,
        }
    }

    /// The code a client sees.
    pub fn code(&self) -> Code {
        match self {
            Self::Decision(refusal) => refusal.code(),
            Self::Fault(fault) => fault.code(),
            Self::Failed(failure) => of_failure(failure.kind).1,
        }
    }

    /// Whose credential it was, where a decision refused it and got far enough for that.
    pub fn who(&self) -> Option<&Who> {
        match self {
            Self::Decision(refusal) => refusal.who(),
            Self::Fault(_) | Self::Failed(_) => None,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decision(refusal) => refusal.fmt(f),
            Self::Fault(fault) => fault.fmt(f),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

/// The status and the code of a failure at an API's own host.
fn of_failure(kind: FailureKind) -> (StatusCode, Code) {
    match kind {
        FailureKind::Invalid | FailureKind::Reused => (StatusCode::BAD_REQUEST, Code::BadRequest),
        FailureKind::Unauthenticated => (StatusCode::UNAUTHORIZED, Code::InvalidCredentials),
        FailureKind::Forbidden => (StatusCode::FORBIDDEN, Code::NotActive),
        FailureKind::NotGranted => (StatusCode::FORBIDDEN, Code::Forbidden),
        FailureKind::NotFound => (StatusCode::NOT_FOUND, Code::NotFound),
        FailureKind::Conflict | FailureKind::Outdated => (StatusCode::CONFLICT, Code::Conflict),
        FailureKind::TooMany => (StatusCode::TOO_MANY_REQUESTS, Code::RateLimited),
        FailureKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
        FailureKind::Broken => (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal),
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Decision(refusal)
    }
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self::Decision(reason.into())
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<SendError> for Refused {
    fn from(error: SendError) -> Self {
        match error {
            SendError::NameNotFound
            | SendError::Unreachable(_)
            | SendError::Tls(_)
            | SendError::ClosedBeforeHead(_)
            | SendError::BadResponse { .. } => Fault::Upstream(error).into(),
            SendError::ConnectTimeout { .. } | SendError::HeadTimeout { .. } => {
                Fault::UpstreamTimeout(error).into()
            }
            SendError::BodyTooLarge { .. } => Fault::BodyTooLarge.into(),
            SendError::BodyStalled { .. } => Fault::RequestTimeout.into(),
            SendError::BodyMalformed => {
                Reason::MalformedRequest { why: "the chunks of the body cannot be read" }.into()
            }
            SendError::ClientGone => Fault::ClientGone.into(),
        }
    }
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        SendError::from(error).into()
    }
}

impl From<TunnelError> for Refused {
    fn from(error: TunnelError) -> Self {
        match error {
            TunnelError::BadHandshake => {
                Reason::MalformedRequest { why: "not a WebSocket handshake of version 13" }.into()
            }
            TunnelError::Send(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_fault_has_one_status_and_one_code() {
        let after = Duration::from_secs(1);
        // The last two: whether its connection is of no more use, and whether the upstream is to blame.
        for (fault, status, code, leaves_a_body, is_upstreams) in [
            (Fault::Misdirected { why: "x" }, 421, "misdirected_request", false, false),
            (Fault::HeadTooLarge, 431, "headers_too_large", false, false),
            (Fault::BodyTooLarge, 413, "payload_too_large", true, false),
            (Fault::RequestTimeout, 408, "request_timeout", true, false),
            (Fault::ClientGone, 499, "bad_request", true, false),
            (Fault::Upstream(SendError::NameNotFound), 502, "bad_gateway", false, true),
            (Fault::UpstreamTimeout(SendError::HeadTimeout { after }), 504, "gateway_timeout", false, true),
            (Fault::KeysUnavailable, 503, "unavailable", false, false),
            (Fault::HandedOver, 503, "unavailable", false, false),
        ] {
            assert_eq!(
                (fault.leaves_a_body(), fault.is_upstreams()),
                (leaves_a_body, is_upstreams),
                "{fault}"
            );
            let refused = Refused::from(fault);
            assert_eq!((refused.status().as_u16(), refused.code().as_str()), (status, code), "{refused}");
        }
    }

    #[test]
    fn forwarding_03_the_log_is_told_all_that_the_system_said() {
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let refused = Refused::from(SendError::Unreachable(io));
        assert_eq!(refused.to_string(), "upstream cannot be reached: connection refused");
        let refused = Refused::from(SendError::BodyStalled { after: Duration::from_secs(1) });
        assert_eq!((refused.status().as_u16(), refused.to_string().contains("too long")), (408, true));
    }
}
