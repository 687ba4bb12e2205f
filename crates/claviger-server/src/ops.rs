//! Health, readiness, metrics, and the public keys of the principal tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use claviger_store::Store;
use claviger_store::memory::Memory;
use claviger_store::signing_keys::Line;
use http::{HeaderValue, Method, Response, StatusCode, header};

use crate::certificate_files::CertificateFiles;
use crate::gateway::Gateway;
use crate::housekeeping::OldestTransaction;
use crate::identity_tokens::jwk_set;
use crate::mail::MailFigures;
use crate::metrics::Metrics;
use crate::reload::Reloads;
use crate::walls::Walls;
use crate::wire::{Body, Counters, Exchange, Handler};

/// Answers on the operations address.
#[derive(Debug)]
pub struct Ops {
    pub(crate) store: Store,
    pub(crate) memory: Arc<Memory>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) walls: Arc<Walls>,
    pub(crate) oldest_transaction: Arc<OldestTransaction>,
    pub(crate) leaving: Arc<AtomicBool>,
    pub(crate) reloads: Arc<Reloads>,
    pub(crate) mail: Arc<MailFigures>,
    pub(crate) certificates: Arc<CertificateFiles>,
}

impl Ops {
    fn ready(&self) -> Result<(), String> {
        if self.leaving.load(Ordering::SeqCst) {
            return Err("this server is about to stop".to_owned());
        }
        self.memory.readiness().map_err(|why| why.to_string())?;
        self.walls.stand()
    }

    fn metrics(&self) -> String {
        let figures = self.memory.figures();
        let door = self.gateway.door.figures();
        let mut text = self.metrics.text(figures.revision_lag_millis.unwrap_or(0));
        // The figures below are kept by others as plain numbers; they are written in the same format.
        let end = text.trim_end().strip_suffix("# EOF").map(str::len);
        text.truncate(end.unwrap_or(text.len()));
        for (name, help, value) in [
            ("accepted_connections", "Connections accepted", self.counters.accepted.get()),
            ("malformed_requests", "Requests that HTTP does not allow", self.counters.malformed.get()),
            (
                "settings_reloads",
                "Times that changed settings were taken up",
                self.reloads.taken_up.load(Ordering::Relaxed),
            ),
            (
                "settings_refusals",
                "Times that changed settings were refused, and the old ones stayed",
                self.reloads.refused.load(Ordering::Relaxed),
            ),
            (
                "certificate_refusals",
                "Times that certificates were read again and could not be used",
                self.certificates.refused.load(Ordering::Relaxed),
            ),
            ("mail_sent", "Mail that this server has sent", self.mail.sent.load(Ordering::Relaxed)),
            (
                "mail_put_off",
                "Times that mail could not be sent, and waits for another try",
                self.mail.put_off.load(Ordering::Relaxed),
            ),
            (
                "mail_given_up",
                "Mail that nobody takes, or that waited too long",
                self.mail.given_up.load(Ordering::Relaxed),
            ),
            ("directory_hits", "Look-ups answered from memory", figures.hits),
            ("directory_misses", "Look-ups that went to the store", figures.misses),
            ("directory_load_failures", "Reads of the store that failed", figures.load_failures),
            (
                "directory_reread_differences",
                "Records that had changed without word from the feed",
                figures.reread_differences,
            ),
            (
                "guesses_refused",
                "Credentials refused as their client had shown too many that are nobody's",
                door.lookups.refused,
            ),
            ("lookups_delayed", "Look-ups that had to wait for their client's turn", door.lookups.waited),
            (
                "unknown_peppers",
                "Keys that named a pepper which this server does not have",
                door.unknown_peppers,
            ),
            ("directory_refusals", "Look-ups refused because too many were under way", figures.refused),
            ("directory_lost_commits", "Commits that were announced and never ended", figures.lost_commits),
            ("directory_forgotten", "Times that everything remembered was forgotten", figures.forgotten),
            ("feed_poll_failures", "Polls of the change feed that failed", figures.poll_failures),
            (
                "streams_withdrawn",
                "Streams ended because their permission was",
                self.counters.withdrawn.get(),
            ),
        ] {
            text.push_str(&format!("# HELP claviger_{name} {help}.\n# TYPE claviger_{name} counter\nclaviger_{name}_total {value}\n"));
        }
        for (name, help, value) in [
            ("directory_entries", "Records held in memory", figures.entries as u64),
            (
                "store_walls_standing",
                "Whether the walls of the store stood when they were last looked at",
                u64::from(self.walls.stand().is_ok()),
            ),
            (
                "store_oldest_transaction_seconds",
                "How long the oldest writing transaction of the database server has been seen open",
                self.oldest_transaction.seconds(self.memory.clock().boot()),
            ),
            ("mail_waiting", "Mail that waits to be sent", self.mail.waiting.load(Ordering::Relaxed)),
            ("limit_counters", "Limits that are being counted", door.limit_counters as u64),
            ("verified_tokens", "Tokens remembered as verified", door.verified_tokens as u64),
            (
                "verified_token_bytes",
                "Memory taken up by tokens remembered as verified",
                door.verified_token_bytes as u64,
            ),
        ] {
            text.push_str(&format!(
                "# HELP claviger_{name} {help}.\n# TYPE claviger_{name} gauge\nclaviger_{name} {value}\n"
            ));
        }
        let ends = self.certificates.ends_at_seconds();
        text.push_str(&format!(
            "# HELP claviger_certificate_ends_timestamp_seconds When the first certificate in use ends, in Unix time; 0 where there are none.\n# TYPE claviger_certificate_ends_timestamp_seconds gauge\nclaviger_certificate_ends_timestamp_seconds {ends}\n"
        ));
        let behind = self.memory.store_time_offset_millis().unwrap_or(0);
        text.push_str(&format!(
            "# HELP claviger_store_clock_offset_millis How far this server's clock is behind the store's.\n# TYPE claviger_store_clock_offset_millis gauge\nclaviger_store_clock_offset_millis {behind}\n"
        ));
        text.push_str(&format!(
            "# HELP claviger_guess_table_fill How much of the table of guesses is in use, from 0 to 1.\n# TYPE claviger_guess_table_fill gauge\nclaviger_guess_table_fill {}\n",
            door.lookups.fill
        ));
        text.push_str("# EOF\n");
        text
    }
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

const TEXT: &str = "text/plain; charset=utf-8";

impl Handler for Ops {
    async fn handle(&self, exchange: Exchange) -> Response<Body> {
        if !matches!(*exchange.request.method(), Method::GET | Method::HEAD) {
            return answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, "this path has only GET\n".into());
        }
        match exchange.request.uri().path() {
            "/healthz" => answer(StatusCode::OK, TEXT, "ok\n".into()),
            "/readyz" => match self.ready() {
                Ok(()) => answer(StatusCode::OK, TEXT, "ready\n".into()),
                Err(why) => answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {why}\n")),
            },
            "/metrics" => answer(
                StatusCode::OK,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                self.metrics(),
            ),
            "/.well-known/jwks.json" => match jwk_set(&self.store, &Line::Principal).await {
                Some(set) => answer(StatusCode::OK, "application/jwk-set+json", set),
                None => answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the keys could not be read\n".into()),
            },
            _ => answer(
                StatusCode::NOT_FOUND,
                TEXT,
                "here are /healthz, /readyz, /metrics and /.well-known/jwks.json\n".into(),
            ),
        }
    }
}
