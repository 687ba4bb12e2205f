//! One exchange on its way: whatever becomes of it, from its first byte to its last, this holds its permit, and tells
//! of it once it is over.

use std::fmt;
use std::sync::Arc;

use claviger::Permit;
use claviger::clock::UnixMillis;
use claviger::limit_rule::LimitState;
use claviger::network::Client;
use http::{HeaderValue, Method, StatusCode, Uri};

use crate::clock::Stopwatch;
use crate::journal::{Journal, Line, Whose};
use crate::metrics::ApiMetrics;
use crate::wire::{Ended, Ending, Watch};

use super::principal_token::PrincipalToken;
use super::standing::{PublicStanding, Standing};
use super::{Surface, spell};
use crate::refused::{CLIENT_CLOSED_REQUEST, Fault, Refused};

/// Where it is told what became of an exchange.
#[derive(Debug)]
pub struct Records {
    /// The access log.
    pub journal: Journal,
    /// The figures of requests for no API.
    pub unrouted: ApiMetrics,
}

/// What an exchange was let in on.
pub(super) enum Held {
    /// It was not, so far.
    Nothing,
    /// Somebody's credential, which may be withdrawn.
    Known(Arc<Standing>),
    /// A route that asks for nobody.
    Public(Arc<PublicStanding>),
}

/// An exchange with everything that is known of it. Dropping it is its end: places of limits are given back, and its
/// line is written.
pub(super) struct Passage {
    records: Arc<Records>,
    watch: Watch,
    core: usize,
    /// When it came.
    pub(super) at: UnixMillis,
    stopwatch: Stopwatch,
    pub(super) request_id: HeaderValue,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) client: Client,
    /// The same, spelt once for everybody who writes it.
    pub(super) client_text: String,
    pub(super) surface: Option<Arc<Surface>>,
    held: Held,
    /// Who it is from, as it was told to the upstream.
    pub(super) principal: Option<Arc<PrincipalToken>>,
    refused: Option<Refused>,
    answered: Option<Answered>,
    ended: Option<Ended>,
}

/// The head of an answer.
#[derive(Debug, Clone, Copy)]
struct Answered {
    status: StatusCode,
    /// When it was made, in microseconds since the exchange began.
    micros: u64,
}

impl fmt::Debug for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passage").field("request_id", &self.request_id).finish_non_exhaustive()
    }
}

/// What is known of a request before anything was decided.
pub(super) struct Beginning<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) watch: &'a Watch,
    pub(super) core: usize,
    pub(super) client: Client,
    pub(super) request_id: HeaderValue,
    pub(super) at: UnixMillis,
}

impl Passage {
    pub(super) fn new(records: Arc<Records>, beginning: Beginning<'_>) -> Box<Self> {
        Box::new(Self {
            records,
            watch: beginning.watch.clone(),
            core: beginning.core,
            at: beginning.at,
            stopwatch: Stopwatch::start(),
            request_id: beginning.request_id,
            method: beginning.method.clone(),
            uri: beginning.uri.clone(),
            client: beginning.client,
            client_text: spell(beginning.client),
            surface: None,
            held: Held::Nothing,
            principal: None,
            refused: None,
            answered: None,
            ended: None,
        })
    }

    /// The core that serves it.
    pub(super) fn core(&self) -> usize {
        self.core
    }

    /// It is let in, and watched from now on: the wait for the upstream, the answer and a tunnel alike end when the
    /// credential is withdrawn.
    pub(super) fn let_in(&mut self, held: Held) {
        match &held {
            Held::Known(standing) => self.watch.set(standing.clone()),
            Held::Public(standing) => self.watch.set(standing.clone()),
            Held::Nothing => {}
        }
        self.held = held;
    }

    /// The permit of a known caller.
    pub(super) fn permit(&self) -> Option<&Permit> {
        match &self.held {
            Held::Known(standing) => Some(standing.permit()),
            Held::Public(_) | Held::Nothing => None,
        }
    }

    /// The limit that the answer tells of.
    pub(super) fn limit(&self) -> Option<&LimitState> {
        match &self.held {
            Held::Nothing => None,
            Held::Known(standing) => standing.permit().limit(),
            Held::Public(standing) => standing.permit().limit(),
        }
    }

    /// Whether a WebSocket may be opened.
    pub(super) fn may_open_websocket(&self) -> bool {
        match &self.held {
            Held::Nothing => false,
            Held::Known(standing) => standing.permit().need().websocket(),
            Held::Public(standing) => standing.permit().need().websocket(),
        }
    }

    /// The head of the answer is made.
    pub(super) fn answers(&mut self, status: StatusCode, refused: Option<Refused>) {
        match &refused {
            Some(Refused::Fault(Fault::ClientGone)) => {
                self.ended = Some(Ended::ClientGone);
                self.metrics().unanswered();
            }
            Some(refused) => self.metrics().refused(refused.code()),
            None => self.metrics().admitted(),
        }
        self.refused = refused;
        self.answered = Some(Answered { status, micros: self.stopwatch.nanos() / 1000 });
    }

    pub(super) fn metrics(&self) -> &ApiMetrics {
        self.surface.as_ref().map_or(&self.records.unrouted, |surface| &surface.metrics)
    }
}

impl Ending for Passage {
    fn ended(&mut self, how: Ended) {
        self.ended.get_or_insert(how);
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let ended = self.ended.unwrap_or_else(|| self.watch.how_it_ends());
        if ended != Ended::Complete {
            self.metrics().cut_short(ended);
        }
        let total_micros = self.stopwatch.nanos() / 1000;
        let answered = self.answered.unwrap_or_else(|| {
            self.metrics().unanswered();
            let status = StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or_default();
            Answered { status, micros: total_micros }
        });
        let spelt = self.principal.as_deref().and_then(PrincipalToken::known);
        let found = match (spelt, &self.refused) {
            (Some(_), _) => None,
            (None, Some(refused)) if refused.who().is_some() => refused.who().cloned(),
            (None, _) => self.permit().map(|permit| permit.principal().who()),
        };
        let whose = match spelt {
            Some(known) => Some(Whose::Spelt(known.ids())),
            None => found.as_ref().map(Whose::Found),
        };
        let is_upstreams = matches!(&self.refused, Some(Refused::Fault(fault)) if fault.is_upstreams());
        let broke_off = matches!(ended, Ended::UpstreamBroken | Ended::UpstreamStalled);
        let upstream = self.surface.as_ref().filter(|_| is_upstreams || broke_off);
        self.records.journal.note(
            self.core,
            &Line {
                at: self.at,
                request_id: self.request_id.to_str().unwrap_or_default(),
                api: self.surface.as_ref().map(|surface| &surface.served.api.name),
                method: self.method.as_str(),
                path: self.uri.path(),
                client: &self.client_text,
                status: answered.status,
                micros: answered.micros,
                total_micros,
                whose,
                refused: self.refused.as_ref(),
                upstream: upstream.map(|surface| &*surface.served.upstream),
                ended,
            },
        );
    }
}
