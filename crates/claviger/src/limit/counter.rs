//! The arithmetic of limits. Pure: time comes in as an argument.
//!
//! The trait of all three forms is that looking and taking are two steps, so that a request whose second limit
//! refuses has taken nothing from its first.

use std::collections::VecDeque;

use crate::limit_rule::Form;

/// What a counter says of a request before anything is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// How much is left, the request not counted.
    pub(super) remaining: u64,
    /// 0 if the request fits; else in how many milliseconds it would. `u64::MAX`: never.
    pub(super) wait_millis: u64,
    /// In how many milliseconds there will be more than now; 0 if nothing is used.
    pub(super) reset_millis: u64,
}

/// What was used of one limit.
#[derive(Debug)]
pub(super) enum Counter {
    Sliding(Sliding),
    Burst(Burst),
    Concurrency { under_way: u64 },
}

impl Counter {
    pub(super) fn new(form: Form) -> Self {
        match form {
            Form::Sliding { .. } => Self::Sliding(Sliding::default()),
            Form::Burst { .. } => Self::Burst(Burst::default()),
            Form::Concurrency => Self::Concurrency { under_way: 0 },
        }
    }

    /// Looks whether `cost` fits within `limit` at `now` (milliseconds of the boot clock).
    pub(super) fn look(&mut self, form: Form, limit: u64, cost: u64, now: u64) -> Look {
        match (self, form) {
            (Self::Sliding(counter), Form::Sliding { window_millis }) => {
                counter.look(window_millis, limit, cost, now)
            }
            (Self::Burst(counter), Form::Burst { refill_millis }) => {
                counter.look(refill_millis, limit, cost, now)
            }
            (Self::Concurrency { under_way }, Form::Concurrency) => {
                let fits = *under_way < limit;
                // Nobody knows when another one ends.
                Look {
                    remaining: limit.saturating_sub(*under_way),
                    wait_millis: if fits { 0 } else { 1000 },
                    reset_millis: if *under_way == 0 { 0 } else { 1000 },
                }
            }
            // The rule changed its form under the same name: what was counted in the old one means nothing.
            (counter, form) => {
                *counter = Self::new(form);
                Look {
                    remaining: limit,
                    wait_millis: if cost <= limit { 0 } else { u64::MAX },
                    reset_millis: 0,
                }
            }
        }
    }

    /// Takes what [`look`](Self::look) found to fit.
    pub(super) fn take(&mut self, form: Form, cost: u64, now: u64) {
        match (self, form) {
            (Self::Sliding(counter), _) => counter.take(cost, now),
            (Self::Burst(counter), Form::Burst { refill_millis }) => counter.take(refill_millis, cost, now),
            (Self::Concurrency { under_way }, _) => *under_way += 1,
            (Self::Burst(_), _) => {}
        }
    }

    /// Gives a place back. Only for [`Form::Concurrency`].
    pub(super) fn release(&mut self) {
        if let Self::Concurrency { under_way } = self {
            *under_way = under_way.saturating_sub(1);
        }
    }

    /// Whether forgetting it now changes nothing.
    pub(super) fn is_idle(&mut self, form: Form, now: u64) -> bool {
        match (self, form) {
            (Self::Sliding(counter), Form::Sliding { window_millis }) => {
                counter.expire(window_millis, now);
                counter.used == 0
            }
            (Self::Burst(counter), _) => counter.owed(now) == 0,
            (Self::Concurrency { under_way }, _) => *under_way == 0,
            (Self::Sliding(_), _) => true,
        }
    }
}

/// Every request of the last window, requests of one millisecond together.
#[derive(Debug, Default)]
pub(super) struct Sliding {
    taken: VecDeque<(u64, u64)>,
    used: u64,
}

impl Sliding {
    /// A request at `t` counts in every window that holds `t`: until `t + window`, that moment excluded.
    fn expire(&mut self, window: u64, now: u64) {
        while let Some(&(at, amount)) = self.taken.front() {
            if at.saturating_add(window) > now {
                break;
            }
            self.taken.pop_front();
            self.used = self.used.saturating_sub(amount);
        }
    }

    fn look(&mut self, window: u64, limit: u64, cost: u64, now: u64) -> Look {
        self.expire(window, now);
        let until = |at: u64| at.saturating_add(window).saturating_sub(now);
        let remaining = limit.saturating_sub(self.used);
        let wait_millis = if cost <= remaining {
            0
        } else if cost > limit {
            u64::MAX
        } else {
            // The first moment at which enough of what was taken has left the window.
            let mut used = self.used;
            let leaves = self.taken.iter().find(|(_, amount)| {
                used = used.saturating_sub(*amount);
                used.saturating_add(cost) <= limit
            });
            leaves.map_or(u64::MAX, |(at, _)| until(*at))
        };
        Look { remaining, wait_millis, reset_millis: self.taken.front().map_or(0, |(at, _)| until(*at)) }
    }

    fn take(&mut self, cost: u64, now: u64) {
        if cost == 0 {
            return;
        }
        self.used = self.used.saturating_add(cost);
        // A clock that stood still or went back joins the last entry, which leaves the window no earlier.
        match self.taken.back_mut() {
            Some((at, amount)) if *at >= now => *amount = amount.saturating_add(cost),
            _ => self.taken.push_back((now, cost)),
        }
    }
}

/// The generic cell rate algorithm (ITU-T I.371), kept as a bucket that leaks. What one request adds is `refill` units, and
/// `limit` units leak in a millisecond: whole numbers, so that no rounding ever lets one more through.
#[derive(Debug, Default)]
pub(super) struct Burst {
    level: u128,
    at: u64,
    /// What leaks in a millisecond: the limit, as it was when somebody last looked.
    leak: u64,
}

impl Burst {
    /// What is still in the bucket.
    fn owed(&self, now: u64) -> u128 {
        let leaked = u128::from(now.saturating_sub(self.at)) * u128::from(self.leak);
        self.level.saturating_sub(leaked)
    }

    fn look(&mut self, refill: u64, limit: u64, cost: u64, now: u64) -> Look {
        // From now on it leaks as the limit says today, and up to now as it did before.
        *self = Self { level: self.owed(now), at: self.at.max(now), leak: limit.max(1) };
        let (unit, leak) = (u128::from(refill.max(1)), u128::from(self.leak));
        let (owed, capacity) = (self.level, unit * u128::from(limit));
        let millis = |units: u128| u64::try_from(units.div_ceil(leak)).unwrap_or(u64::MAX);
        let over = (owed + unit * u128::from(cost)).saturating_sub(capacity);
        let wait_millis = match cost {
            // What costs nothing takes nothing, even from a bucket that a lower limit has made too small.
            0 => 0,
            _ if cost > limit => u64::MAX,
            _ => millis(over),
        };
        Look {
            remaining: u64::try_from(capacity.saturating_sub(owed) / unit).unwrap_or(u64::MAX),
            wait_millis,
            // The next whole request's worth has leaked when what is owed is down to a multiple of it.
            reset_millis: if owed == 0 { 0 } else { millis((owed - 1) % unit + 1) },
        }
    }

    fn take(&mut self, refill: u64, cost: u64, now: u64) {
        self.level = self.owed(now) + u128::from(refill.max(1)) * u128::from(cost);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Form = Form::Sliding { window_millis: 60_000 };

    fn admit(counter: &mut Counter, form: Form, limit: u64, cost: u64, now: u64) -> bool {
        let fits = counter.look(form, limit, cost, now).wait_millis == 0;
        if fits {
            counter.take(form, cost, now);
        }
        fits
    }

    #[test]
    fn a_concurrency_limit_is_down_to_nothing_when_all_have_ended() {
        let mut counter = Counter::new(Form::Concurrency);
        assert_eq!(counter.look(Form::Concurrency, 2, 1, 0).reset_millis, 0);
        counter.take(Form::Concurrency, 1, 0);
        let look = counter.look(Form::Concurrency, 2, 1, 0);
        assert_eq!((look.remaining, look.wait_millis, look.reset_millis), (1, 0, 1000));
    }

    #[test]
    fn a_rule_that_changes_its_form_begins_anew() {
        let burst = Form::Burst { refill_millis: 60_000 };
        for (cost, wait) in [(3, 0), (4, u64::MAX)] {
            let mut counter = Counter::new(MINUTE);
            counter.take(MINUTE, 3, 0);
            let look = counter.look(burst, 3, cost, 0);
            assert_eq!((look.remaining, look.wait_millis, look.reset_millis), (3, wait, 0));
        }
    }

    #[test]
    fn what_is_taken_at_a_clock_that_went_back_leaves_no_earlier() {
        let mut counter = Counter::new(MINUTE);
        counter.take(MINUTE, 1, 100);
        counter.take(MINUTE, 1, 40);
        assert_eq!(counter.look(MINUTE, 2, 1, 60_099).remaining, 0);
        assert_eq!(counter.look(MINUTE, 2, 1, 60_100).remaining, 2);
    }

    #[test]
    fn requests_of_one_millisecond_take_one_place() {
        let mut counter = Sliding::default();
        (0..1000).for_each(|_| counter.take(1, 7));
        assert_eq!((counter.taken.len(), counter.used), (1, 1000));
    }

    #[test]
    fn a_burst_says_when_the_next_whole_request_is_back() {
        // Two a second: one comes back every 500 ms.
        let form = Form::Burst { refill_millis: 1000 };
        let mut counter = Counter::new(form);
        let reset = |counter: &mut Counter, now| counter.look(form, 2, 0, now).reset_millis;
        assert_eq!(reset(&mut counter, 0), 0);
        counter.look(form, 2, 2, 0);
        counter.take(form, 2, 0);
        for (now, expected) in [(0, 500), (1, 499), (499, 1), (500, 500), (700, 300), (999, 1), (1000, 0)] {
            assert_eq!(reset(&mut counter, now), expected, "{now}");
        }
        // One a second, where not a millisecond is lost in division.
        let mut counter = Counter::new(form);
        counter.look(form, 1, 1, 0);
        counter.take(form, 1, 0);
        assert_eq!(counter.look(form, 1, 0, 0).reset_millis, 1000);
        assert_eq!(counter.look(form, 1, 0, 999).reset_millis, 1);
    }

    #[test]
    fn the_window_slides_and_frees_exactly_on_time() {
        let mut counter = Counter::new(MINUTE);
        for now in [0, 10, 20] {
            assert!(admit(&mut counter, MINUTE, 3, 1, now));
        }
        let look = counter.look(MINUTE, 3, 1, 30);
        assert_eq!(look, Look { remaining: 0, wait_millis: 59_970, reset_millis: 59_970 });
        assert!(!admit(&mut counter, MINUTE, 3, 1, 59_999));
        assert!(admit(&mut counter, MINUTE, 3, 1, 60_000));
        assert!(!admit(&mut counter, MINUTE, 3, 1, 60_009));
        assert!(admit(&mut counter, MINUTE, 3, 1, 60_010));
    }

    #[test]
    fn trap_u64_underflow_in_remaining() {
        let mut counter = Counter::new(MINUTE);
        for _ in 0..10 {
            assert!(admit(&mut counter, MINUTE, 10, 1, 0));
        }
        // The plan was lowered below what is used already.
        assert_eq!(counter.look(MINUTE, 3, 1, 1).remaining, 0);
        assert_eq!(counter.look(MINUTE, 0, 1, 1).wait_millis, u64::MAX);
        let mut burst = Counter::new(Form::Burst { refill_millis: 1000 });
        assert!(admit(&mut burst, Form::Burst { refill_millis: 1000 }, 10, 10, 0));
        assert_eq!(burst.look(Form::Burst { refill_millis: 1000 }, 3, 1, 0).remaining, 0);
    }

    #[test]
    fn a_cost_beyond_the_limit_never_passes_and_a_huge_one_does_not_overflow() {
        for form in [MINUTE, Form::Burst { refill_millis: 60_000 }] {
            let mut counter = Counter::new(form);
            assert!(!admit(&mut counter, form, 10, 11, 0));
            assert!(!admit(&mut counter, form, 10, 1 << 63, 0));
            assert!(!admit(&mut counter, form, 0, 1, 0));
            assert!(admit(&mut counter, form, 10, 10, 0));
            assert!(admit(&mut counter, form, 10, 0, 0), "what costs nothing passes");
        }
    }

    #[test]
    fn a_clock_that_goes_back_forgives_nothing() {
        let mut counter = Counter::new(MINUTE);
        assert!(admit(&mut counter, MINUTE, 2, 1, 100_000));
        assert!(admit(&mut counter, MINUTE, 2, 1, 50_000));
        assert!(!admit(&mut counter, MINUTE, 2, 1, 50_001));
        assert!(!admit(&mut counter, MINUTE, 2, 1, 159_999));
        assert!(admit(&mut counter, MINUTE, 2, 2, 160_000));
    }

    #[test]
    fn core_17_a_burst_is_exact_however_fast_it_is() {
        let form = Form::Burst { refill_millis: 1000 };
        for limit in [3_u64, 7, 999, 600_000, 1_000_003] {
            let mut counter = Counter::new(form);
            let step = limit.div_ceil(1000).max(1) * 2;
            let mut admitted = 0;
            for now in 0..10_000 {
                for _ in 0..2 {
                    admitted += if admit(&mut counter, form, limit, step, now) { step } else { 0 };
                }
            }
            // A bucket, and ten seconds' worth of leaking, the last millisecond's not yet.
            let most = limit + limit * 9_999 / 1000;
            assert!(admitted <= most, "{admitted} of {most}");
            assert!(admitted + step > most, "{admitted} of {most}");
        }
    }

    #[test]
    fn a_change_of_plan_forgives_no_burst() {
        let form = Form::Burst { refill_millis: 1000 };
        let mut counter = Counter::new(form);
        assert!(admit(&mut counter, form, 10, 10, 0));
        let look = counter.look(form, 20, 1, 0);
        assert_eq!((look.remaining, look.wait_millis), (10, 0), "ten are used of twenty");
        let look = counter.look(form, 5, 1, 0);
        assert_eq!((look.remaining, look.wait_millis), (0, 1200));
        assert_eq!(counter.look(form, 5, 0, 0).wait_millis, 0);
        assert!(!counter.is_idle(form, 1999) && counter.is_idle(form, 2000));
    }

    #[test]
    fn a_burst_fills_evenly() {
        let form = Form::Burst { refill_millis: 1000 };
        let mut counter = Counter::new(form);
        for _ in 0..10 {
            assert!(admit(&mut counter, form, 10, 1, 5));
        }
        assert_eq!(counter.look(form, 10, 1, 5).wait_millis, 100);
        assert!(!admit(&mut counter, form, 10, 1, 104));
        assert!(admit(&mut counter, form, 10, 1, 105));
        assert_eq!(counter.look(form, 10, 1, 10_000).remaining, 10);
    }

    proptest! {
        /// No window ever holds more than the limit, and nothing is refused that would have fitted.
        #[test]
        fn a_sliding_window_is_exact(
            limit in 0_u64..8,
            steps in prop::collection::vec((0_u64..40, 0_u64..4), 1..200),
        ) {
            let form = Form::Sliding { window_millis: 100 };
            let mut counter = Counter::new(form);
            let mut admitted: Vec<(u64, u64)> = Vec::new();
            let mut now = 0;
            for (step, cost) in steps {
                now += step;
                let in_window: u64 = admitted.iter().filter(|(at, _)| at + 100 > now).map(|(_, cost)| cost).sum();
                let should = in_window + cost <= limit || cost == 0;
                prop_assert_eq!(admit(&mut counter, form, limit, cost, now), should);
                if should {
                    admitted.push((now, cost));
                }
            }
        }

        /// What a refusal says of the wait is true: it passes then, and not a millisecond earlier.
        #[test]
        fn the_wait_is_exact(
            limit in 1_u64..8,
            burst in any::<bool>(),
            steps in prop::collection::vec((0_u64..40, 1_u64..4), 1..50),
        ) {
            let form = if burst { Form::Burst { refill_millis: 100 } } else { Form::Sliding { window_millis: 100 } };
            let mut counter = Counter::new(form);
            let mut now = 1000;
            for (step, cost) in steps {
                now += step;
                let wait = counter.look(form, limit, cost, now).wait_millis;
                if wait == 0 {
                    counter.take(form, cost, now);
                } else if wait < u64::MAX {
                    prop_assert!(counter.look(form, limit, cost, now + wait - 1).wait_millis > 0);
                    prop_assert_eq!(counter.look(form, limit, cost, now + wait).wait_millis, 0);
                    now += wait;
                }
            }
        }
    }
}
