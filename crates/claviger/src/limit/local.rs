//! The counters of this node, in memory.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::{Equivalent, HashMap};
use smallvec::SmallVec;

use crate::api::Api;
use crate::authenticate::Principal;
use crate::authorize::Grant;
use crate::clock::BootMillis;
use crate::id::{ApiName, Environment, TenantId};
use crate::limit_rule::{Form, LimitRule, LimitState, Per};
use crate::need::Need;
use crate::network::Client;
use crate::refusal::Reason;

use super::counter::{Counter, Look};
use super::state;

const SHARDS: usize = 64;

/// The limits of this node.
#[derive(Clone)]
pub(crate) struct LocalLimiter(Arc<Inner>);

struct Inner {
    shards: Box<[Mutex<Counters>]>,
    hasher: RandomState,
}

/// The counters of some tenants and public callers, each with the form it counts in.
type Counters = HashMap<CounterId, (Form, Counter), RandomState>;

impl fmt::Debug for LocalLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalLimiter({} counters)", self.len())
    }
}

/// Which lock a request's counters stand behind.
#[derive(Debug, Clone, Copy)]
struct Shard(usize);

/// Whose counters there are. The tenant and environment are part of every one of a known caller's: two tenants never
/// share, nor do live and sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Scope {
    Tenant(TenantId, Environment),
    Public,
}

/// What of the scope is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Counted {
    All,
    Credential([u8; 16], [u8; 16]),
    Organization([u8; 16]),
    Address(IpAddr),
}

/// What a counter is of.
#[derive(Debug, PartialEq, Eq)]
struct CounterId {
    scope: Scope,
    counted: Counted,
    api: ApiName,
    rule: Arc<str>,
}

/// The same, borrowed from the request and the rule: most requests find their counters.
#[derive(Debug, Clone, Copy)]
struct Wanted<'a> {
    scope: Scope,
    counted: Counted,
    api: &'a ApiName,
    rule: &'a Arc<str>,
}

/// Only what tells most counters apart is hashed, as this is done twice for each limit of a request; the few rules
/// of one API fall together and are told apart by comparing.
fn hash_counter<H: Hasher>(scope: Scope, counted: Counted, state: &mut H) {
    match scope {
        Scope::Tenant(tenant, _) => state.write_u128(u128::from_ne_bytes(*tenant.as_bytes())),
        Scope::Public => state.write_u8(0),
    }
    match counted {
        Counted::All => {}
        Counted::Credential(first, _) | Counted::Organization(first) => {
            state.write_u128(u128::from_ne_bytes(first));
        }
        Counted::Address(address) => address.hash(state),
    }
}

impl Hash for CounterId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_counter(self.scope, self.counted, state);
    }
}

impl Hash for Wanted<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_counter(self.scope, self.counted, state);
    }
}

impl Equivalent<CounterId> for Wanted<'_> {
    fn equivalent(&self, id: &CounterId) -> bool {
        (self.scope, self.counted) == (id.scope, id.counted) && **self.rule == *id.rule && *self.api == id.api
    }
}

impl From<&Wanted<'_>> for CounterId {
    fn from(wanted: &Wanted<'_>) -> Self {
        Self {
            scope: wanted.scope,
            counted: wanted.counted,
            api: wanted.api.clone(),
            rule: wanted.rule.clone(),
        }
    }
}

/// Who is counted.
pub(super) enum Who<'a> {
    Known(&'a Principal),
    Public(&'a Api, Client),
}

impl<'a> Who<'a> {
    fn api(&self) -> &'a Api {
        match self {
            Self::Known(principal) => principal.api(),
            Self::Public(api, _) => api,
        }
    }

    fn scope(&self) -> Scope {
        match self {
            Self::Known(principal) => Scope::Tenant(principal.ids().0, principal.environment()),
            Self::Public(..) => Scope::Public,
        }
    }

    /// What the rule allows, and what of it is counted together; `None` where it does not limit this caller.
    fn limit(&self, rule: &'a LimitRule) -> Option<(u64, Wanted<'a>)> {
        let api = self.api();
        let (plan, access, counted) = match self {
            Self::Known(principal) => {
                let counted = counted(rule.per, principal);
                let access = principal.grants().and_then(crate::grants::Grants::highest);
                (Some(&principal.tenant().plan), access, counted)
            }
            // A public request is of nobody that the other limits could be about.
            Self::Public(_, client) if rule.per == Per::Address => {
                (None, None, Counted::Address(client.block()))
            }
            Self::Public(..) => return None,
        };
        let limit = rule.amount.for_caller(plan, api.known_plans(), access)?;
        Some((limit, Wanted { scope: self.scope(), counted, api: &api.name, rule: &rule.name }))
    }
}

fn counted(per: Per, principal: &Principal) -> Counted {
    let org = *principal.ids().1.as_bytes();
    match per {
        Per::Tenant => Counted::All,
        Per::Organization => Counted::Organization(org),
        Per::Address => Counted::Address(principal.client().block()),
        // A key's stable id, so that rotating it doubles nothing; a person in an organization, so that
        // another token changes nothing.
        Per::Credential => match (principal.key(), principal.account()) {
            (Some(key), _) => Counted::Credential(*key.as_bytes(), [0; 16]),
            (None, Some(account)) => Counted::Credential(*account.as_bytes(), org),
            (None, None) => Counted::Credential([0; 16], org),
        },
    }
}

impl Default for LocalLimiter {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self(Arc::new(Inner { shards, hasher: RandomState::new() }))
    }
}

/// What of its limits a request has taken: the one nearest to its end, and places to be given back.
pub(super) type Taken = (Option<LimitState>, Option<Held>);

impl LocalLimiter {
    /// Takes its part of every limit of the API, or of none.
    ///
    /// # Errors
    /// 429 if a limit is used up: the one with the longest wait.
    pub(super) fn take(&self, who: &Who<'_>, need: &Need, now: BootMillis) -> Result<Taken, Reason> {
        let rules = &who.api().limits;
        if rules.is_empty() {
            return Ok((None, None));
        }
        let cost = u64::from(need.cost());
        let shard = self.shard(who);
        let mut counters = self.lock(shard);
        let mut refused: Option<LimitState> = None;
        let mut taking: SmallVec<[(&LimitRule, u64, Wanted<'_>); 4]> = SmallVec::new();
        for rule in rules {
            let Some((limit, wanted)) = who.limit(rule) else { continue };
            let look = match counters.get_mut(&wanted) {
                Some((form, counter)) => {
                    *form = rule.form;
                    counter.look(rule.form, limit, cost, now.0)
                }
                None => {
                    let mut counter = Counter::new(rule.form);
                    let look = counter.look(rule.form, limit, cost, now.0);
                    counters.insert(CounterId::from(&wanted), (rule.form, counter));
                    look
                }
            };
            if look.wait_millis > 0 {
                let state = state(rule, limit, look);
                if refused.as_ref().is_none_or(|other| other.retry_after_seconds < state.retry_after_seconds)
                {
                    refused = Some(state);
                }
            }
            taking.push((rule, limit, wanted));
        }
        if let Some(state) = refused {
            return Err(Reason::TooMany(state));
        }
        let mut held = Vec::new();
        let mut nearest = Nearest::default();
        for (rule, limit, wanted) in taking {
            if let Some((_, counter)) = counters.get_mut(&wanted) {
                counter.take(rule.form, cost, now.0);
                nearest.offer(rule, limit, counter.look(rule.form, limit, 0, now.0));
            }
            if rule.form == Form::Concurrency {
                held.push(CounterId::from(&wanted));
            }
        }
        drop(counters);
        let held = (!held.is_empty()).then(|| Held { limiter: self.clone(), shard, counters: held });
        Ok((nearest.state(), held))
    }

    /// Where the principal's limits stand, without taking anything: the one nearest to its end.
    pub(crate) fn standing(&self, principal: &Principal, now: BootMillis) -> Option<LimitState> {
        let mut nearest = Nearest::default();
        self.look(principal, 0, now, |rule, limit, look| nearest.offer(rule, limit, look));
        nearest.state()
    }

    /// What [`admit`](Self::admit) would refuse with, without taking anything.
    pub(crate) fn peek(&self, grant: &Grant, now: BootMillis) -> Vec<LimitState> {
        let mut states = Vec::new();
        self.look(grant.principal(), u64::from(grant.need().cost()), now, |rule, limit, look| {
            states.push(state(rule, limit, look));
        });
        states
    }

    /// Looks at each limit that holds for `principal`, and makes no counter.
    fn look<'p>(
        &self,
        principal: &'p Principal,
        cost: u64,
        now: BootMillis,
        mut tell: impl FnMut(&'p LimitRule, u64, Look),
    ) {
        let who = Who::Known(principal);
        let rules = &who.api().limits;
        if rules.is_empty() {
            return;
        }
        let mut counters = self.lock(self.shard(&who));
        for rule in rules {
            let Some((limit, wanted)) = who.limit(rule) else { continue };
            let look = match counters.get_mut(&wanted) {
                Some((_, counter)) => counter.look(rule.form, limit, cost, now.0),
                None => Counter::new(rule.form).look(rule.form, limit, cost, now.0),
            };
            tell(rule, limit, look);
        }
    }

    /// Forgets the counters that count nothing any more. A counter that still counts is never forgotten, however
    /// many there are: forgetting one would hand out its limit anew.
    pub(crate) fn sweep(&self, now: BootMillis) {
        for shard in &self.0.shards {
            lock(shard).retain(|_, (form, counter)| !counter.is_idle(*form, now.0));
        }
    }

    /// How many counters there are.
    pub(crate) fn len(&self) -> usize {
        self.0.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn release(&self, shard: Shard, ids: &[CounterId]) {
        let mut counters = self.lock(shard);
        for id in ids {
            if let Some((_, counter)) = counters.get_mut(id) {
                counter.release();
            }
        }
    }

    /// Everything that a request counts against stands together: by its tenant, or by the address of a public one.
    fn shard(&self, who: &Who<'_>) -> Shard {
        let hash = match who {
            Who::Known(principal) => self.0.hasher.hash_one(principal.ids().0),
            Who::Public(_, client) => self.0.hasher.hash_one(client.block()),
        };
        Shard(usize::try_from(hash % SHARDS as u64).unwrap_or(0))
    }

    #[expect(clippy::indexing_slicing, reason = "a shard is the remainder of a division by their number")]
    fn lock(&self, shard: Shard) -> MutexGuard<'_, Counters> {
        lock(&self.0.shards[shard.0])
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
        // What is looked at costs nothing, and so has nothing to wait for.
        self.0.map(|(rule, limit, look)| state(rule, limit, look))
    }
}

/// Places of concurrency limits, given back when dropped.
pub(super) struct Held {
    limiter: LocalLimiter,
    shard: Shard,
    counters: Vec<CounterId>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({})", self.counters.len())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.limiter.release(self.shard, &self.counters);
    }
}
