//! Counters in this process: exact on one node.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::authenticate::Principal;
use crate::authorize::Grant;
use crate::clock::BootMillis;
use crate::id::{ApiName, Environment, TenantId};
use crate::refusal::Reason;

use super::counter::{Counter, Look};
use super::permit::{Held, Permit};
use super::{Form, LimitRule, LimitState, Per};

const SHARDS: usize = 64;

/// The limits of this node.
#[derive(Clone)]
pub struct LocalLimiter(Arc<Inner>);

struct Inner {
    shards: Box<[Mutex<Counters>]>,
    hasher: RandomState,
}

/// The counters of some tenants, each with the form it counts in.
type Counters = HashMap<CounterId, (Form, Counter)>;

impl fmt::Debug for LocalLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalLimiter({} counters)", self.len())
    }
}

/// What a counter is of. The tenant and environment are part of every one: two tenants never share, nor do
/// live and sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CounterId {
    tenant: TenantId,
    environment: Environment,
    api: ApiName,
    rule: Arc<str>,
    /// The key's, account's and organization's bytes where the rule counts them apart.
    who: Option<([u8; 16], [u8; 16])>,
}

/// Only what tells most counters apart is hashed, as this is done twice for each limit of a request; the few rules
/// of one API fall together and are told apart by comparing.
impl Hash for CounterId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.tenant.hash(state);
        self.who.map(|(first, _)| u128::from_ne_bytes(first)).unwrap_or_default().hash(state);
    }
}

impl CounterId {
    fn new(rule: &LimitRule, principal: &Principal) -> Self {
        let (tenant, org) = principal.ids();
        let none = [0; 16];
        let who = match rule.per {
            Per::Tenant => None,
            Per::Organization => Some((*org.as_bytes(), none)),
            // A key's stable id, so that rotating it doubles nothing; a person in an organization, so that
            // another token changes nothing.
            Per::Credential => Some(match (principal.key(), principal.account()) {
                (Some(key), _) => (*key.as_bytes(), none),
                (None, Some(account)) => (*account.as_bytes(), *org.as_bytes()),
                (None, None) => (none, none),
            }),
        };
        Self {
            tenant,
            environment: principal.environment(),
            api: rule.api.clone(),
            rule: rule.name.clone(),
            who,
        }
    }
}

impl Default for LocalLimiter {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self(Arc::new(Inner { shards, hasher: RandomState::new() }))
    }
}

impl LocalLimiter {
    /// Counts `grant` against all of `rules`, or against none.
    ///
    /// # Errors
    /// 429 if a limit is used up: the one with the longest wait.
    pub fn admit(&self, grant: Grant, rules: &[LimitRule], now: BootMillis) -> Result<Permit, Reason> {
        if rules.is_empty() {
            return Ok(Permit::new(grant, None, None));
        }
        let principal = grant.principal();
        let cost = u64::from(grant.cost());
        let tenant = principal.ids().0;
        let mut counters = self.lock(tenant);
        let mut refused: Option<LimitState> = None;
        let mut taking: Vec<(CounterId, &LimitRule, u64)> = Vec::with_capacity(rules.len());
        for rule in rules {
            let Some(limit) = rule.amount_for(principal) else { continue };
            let id = CounterId::new(rule, principal);
            let (form, counter) =
                counters.entry(id.clone()).or_insert_with(|| (rule.form, Counter::new(rule.form)));
            *form = rule.form;
            let look = counter.look(rule.form, limit, cost, now.0);
            if look.wait_millis > 0 {
                let state = rule.state(limit, look);
                if refused.as_ref().is_none_or(|other| other.retry_after_seconds < state.retry_after_seconds)
                {
                    refused = Some(state);
                }
            }
            taking.push((id, rule, limit));
        }
        if let Some(state) = refused {
            return Err(Reason::TooMany(state));
        }
        let mut held = Vec::new();
        let mut nearest = Nearest::default();
        for (id, rule, limit) in taking {
            if let Some((_, counter)) = counters.get_mut(&id) {
                counter.take(rule.form, limit, cost, now.0);
                nearest.offer(rule, limit, counter.look(rule.form, limit, 0, now.0));
            }
            if rule.form == Form::Concurrency {
                held.push(id);
            }
        }
        drop(counters);
        let held = (!held.is_empty()).then(|| Held { limiter: self.clone(), tenant, counters: held });
        Ok(Permit::new(grant, nearest.state(), held))
    }

    /// Where the principal's limits stand, without taking anything: the one nearest to its end.
    pub fn standing(
        &self,
        principal: &Principal,
        rules: &[LimitRule],
        now: BootMillis,
    ) -> Option<LimitState> {
        let mut nearest = Nearest::default();
        self.look(principal, 0, rules, now, |rule, limit, look| nearest.offer(rule, limit, look));
        nearest.state()
    }

    /// What [`admit`](Self::admit) would refuse with, without taking anything.
    pub fn peek(&self, grant: &Grant, rules: &[LimitRule], now: BootMillis) -> Vec<LimitState> {
        let mut states = Vec::new();
        self.look(grant.principal(), u64::from(grant.cost()), rules, now, |rule, limit, look| {
            states.push(rule.state(limit, look));
        });
        states
    }

    /// Looks at each limit that holds for `principal`, and makes no counter.
    fn look<'r>(
        &self,
        principal: &Principal,
        cost: u64,
        rules: &'r [LimitRule],
        now: BootMillis,
        mut tell: impl FnMut(&'r LimitRule, u64, Look),
    ) {
        let mut counters = self.lock(principal.ids().0);
        for rule in rules {
            let Some(limit) = rule.amount_for(principal) else { continue };
            let look = match counters.get_mut(&CounterId::new(rule, principal)) {
                Some((_, counter)) => counter.look(rule.form, limit, cost, now.0),
                None => Counter::new(rule.form).look(rule.form, limit, cost, now.0),
            };
            tell(rule, limit, look);
        }
    }

    /// Forgets the counters that count nothing any more. A counter that still counts is never forgotten, however
    /// many there are: forgetting one would hand out its limit anew.
    pub fn sweep(&self, now: BootMillis) {
        for shard in &self.0.shards {
            lock(shard).retain(|_, (form, counter)| !counter.is_idle(*form, now.0));
        }
    }

    /// How many counters there are.
    pub fn len(&self) -> usize {
        self.0.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn release(&self, tenant: TenantId, ids: &[CounterId]) {
        let mut counters = self.lock(tenant);
        for id in ids {
            if let Some((_, counter)) = counters.get_mut(id) {
                counter.release();
            }
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the remainder of a division by the number of shards is one of them"
    )]
    fn lock(&self, tenant: TenantId) -> MutexGuard<'_, Counters> {
        let shards = &self.0.shards;
        let hash = self.0.hasher.hash_one(tenant);
        lock(&shards[usize::try_from(hash % SHARDS as u64).unwrap_or(0)])
    }
}

/// A thread that panicked under the lock left counters that are each whole in themselves.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Picks the limit that a client is told of: the one with the least left. Places of a concurrency limit come
/// back by themselves, so they are told only where nothing else is.
#[derive(Default)]
struct Nearest<'r>(Option<(&'r LimitRule, u64, Look)>);

impl<'r> Nearest<'r> {
    fn offer(&mut self, rule: &'r LimitRule, limit: u64, look: Look) {
        let rank = |rule: &LimitRule, look: &Look| (rule.form == Form::Concurrency, look.remaining);
        if self.0.as_ref().is_none_or(|(other, _, known)| rank(rule, &look) < rank(other, known)) {
            self.0 = Some((rule, limit, look));
        }
    }

    fn state(self) -> Option<LimitState> {
        self.0.map(|(rule, limit, look)| LimitState { retry_after_seconds: 0, ..rule.state(limit, look) })
    }
}
