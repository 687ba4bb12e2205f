//! Figures for Prometheus. Handles are found once per API, so that a request only adds numbers.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use claviger::code::Code;
use claviger::id::ApiName;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::wire::Ended;

/// What became of a request: `admitted`, the code it was refused with, or `unanswered`. No label is a client's to
/// choose.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    api: String,
    outcome: &'static str,
}

/// How an exchange that did not come to a good end has ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cut {
    api: String,
    end: &'static str,
}

/// All figures of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Outcome, Counter>,
    cut_short: Family<Cut, Counter>,
    decide: Histogram,
    lag: Gauge<f64, AtomicU64>,
    access_lines_lost: Counter,
}

/// The figures of one API.
#[derive(Debug, Clone)]
pub struct ApiMetrics {
    admitted: Counter,
    refused: Arc<[Counter]>,
    unanswered: Counter,
    cut_short: Arc<[Counter]>,
    decide: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("claviger");
        let requests = Family::<Outcome, Counter>::default();
        registry.register("requests", "Requests by API and outcome", requests.clone());
        let cut_short = Family::<Cut, Counter>::default();
        registry.register(
            "exchanges_cut_short",
            "Exchanges that ended before the last byte of their answer, by API and by how they ended",
            cut_short.clone(),
        );
        let buckets = [0.5e-6, 1e-6, 2e-6, 5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 500e-6, 1e-3, 10e-3, 0.1, 1.0];
        let decide = Histogram::new(buckets);
        registry.register_with_unit(
            "decide",
            "Time from a request's head to the decision about it",
            Unit::Seconds,
            decide.clone(),
        );
        let lag = Gauge::<f64, AtomicU64>::default();
        registry.register_with_unit(
            "revision_lag",
            "Time since the change feed was last read to its end",
            Unit::Seconds,
            lag.clone(),
        );
        let access_lines_lost = Counter::default();
        registry.register(
            "access_lines_lost",
            "Lines of the access log that were dropped because it could not be written fast enough",
            access_lines_lost.clone(),
        );
        Self { registry, requests, cut_short, decide, lag, access_lines_lost }
    }
}

impl Metrics {
    /// The figures of `api`; of requests for no API where it is `None`.
    pub fn of_api(&self, api: Option<&ApiName>) -> ApiMetrics {
        let api = api.map(ToString::to_string).unwrap_or_default();
        let counter = |outcome| self.requests.get_or_create_owned(&Outcome { api: api.clone(), outcome });
        ApiMetrics {
            admitted: counter("admitted"),
            refused: Code::ALL.iter().map(|code| counter(code.as_str())).collect(),
            unanswered: counter("unanswered"),
            cut_short: Ended::CUT
                .iter()
                .map(|end| Cut { api: api.clone(), end: end.as_str() })
                .map(|cut| self.cut_short.get_or_create_owned(&cut))
                .collect(),
            decide: self.decide.clone(),
        }
    }

    /// Counts lines that the access log lost.
    pub fn access_lines_lost(&self) -> &Counter {
        &self.access_lines_lost
    }

    /// Everything in the OpenMetrics text format, with these figures as of now.
    pub fn text(&self, lag_millis: u64) -> String {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a lag of more than 2^53 milliseconds is no figure any more"
        )]
        self.lag.set(lag_millis as f64 / 1000.0);
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

impl ApiMetrics {
    /// A request was let in.
    pub fn admitted(&self) {
        self.admitted.inc();
    }

    /// A request was refused.
    pub fn refused(&self, code: Code) {
        let at = Code::ALL.iter().position(|other| *other == code);
        if let Some(counter) = at.and_then(|at| self.refused.get(at)) {
            counter.inc();
        }
    }

    /// The exchange was over before there was an answer to a request.
    pub fn unanswered(&self) {
        self.unanswered.inc();
    }

    /// An exchange ended before the last byte of its answer.
    pub fn cut_short(&self, end: Ended) {
        let at = Ended::CUT.iter().position(|other| *other == end);
        if let Some(counter) = at.and_then(|at| self.cut_short.get(at)) {
            counter.inc();
        }
    }

    /// A decision took this long.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a decision of more than 2^53 nanoseconds is no figure any more"
    )]
    pub fn decided(&self, nanos: u64) {
        self.decide.observe(nanos as f64 / 1e9);
    }
}
