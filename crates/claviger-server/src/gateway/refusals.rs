//! Refusals of good credentials, for their tenant's audit: noted in memory, told of once a minute for each credential and code.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use claviger::clock::UnixMillis;
use claviger::code::Code;
use claviger::id::TenantId;
use claviger::network::Client;
use claviger::refusal::Who;
use claviger_store::audit::RefusedRequests;
use http::StatusCode;

use crate::refused::Refused;

/// Between two entries of one credential and code, whatever comes in between is counted.
const EVERY_SECONDS: i64 = 60;
/// How many credentials and codes are kept apart. What does not fit is in the log and in the metrics alone.
const MOST: usize = 4096;

/// What was not told of yet.
#[derive(Debug)]
struct Sample {
    who: Who,
    count: u64,
    address: IpAddr,
    told_at: Option<UnixMillis>,
}

impl Sample {
    /// Also after a clock that was set back.
    fn is_due(&self, now: UnixMillis) -> bool {
        self.told_at.is_none_or(|at| now < at || at.plus_seconds(EVERY_SECONDS) <= now)
    }
}

/// Whose credential, and why.
type Name = (TenantId, Box<str>, Code);

/// The refusals of the last minute.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<HashMap<Name, Sample>>);

impl Refusals {
    /// Somebody was refused. What counts is what a good credential may not do; who has none is nobody's to hear of, limits have figures of their own, and
    /// a credential in clear has an entry of its own.
    pub(super) fn note(&self, refused: &Refused, client: Client) {
        let (Some(who), code) = (refused.who(), refused.code()) else { return };
        if refused.status() != StatusCode::FORBIDDEN || code == Code::HttpsRequired {
            return;
        }
        // Where nobody knows the client, the proxy before it is what is known.
        let address = client.address().unwrap_or_else(|| client.block());
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (who.tenant, who.credential.clone(), code);
        if let Some(sample) = samples.get_mut(&name) {
            sample.count = sample.count.saturating_add(1);
            sample.address = address;
        } else if samples.len() < MOST {
            samples.insert(name, Sample { who: who.clone(), count: 1, address, told_at: None });
        }
    }

    /// Takes out what is due, or all that was not told of yet if `all` is wanted.
    pub(crate) fn take(&self, now: UnixMillis, all: bool) -> Vec<RefusedRequests> {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        samples.retain(|(_, _, code), sample| {
            let is_due = sample.is_due(now);
            if sample.count == 0 {
                return !is_due;
            }
            if is_due || all {
                let (who, count, address) = (sample.who.clone(), sample.count, sample.address);
                found.push(RefusedRequests { who, code: *code, count, address });
                sample.count = 0;
                sample.told_at = Some(now);
            }
            true
        });
        found
    }
}
