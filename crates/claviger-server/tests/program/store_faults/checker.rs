//! Knows every acknowledged withdrawal and sees every admission.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use claviger::id::KeyId;

use crate::support::try_get;

/// How often each node is asked: 50 times a second.
const EVERY: Duration = Duration::from_millis(20);

#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) text: String,
}

#[derive(Default)]
struct Seen {
    /// Good ones, never withdrawn.
    good: Vec<Key>,
    withdrawn: Vec<(Key, Instant)>,
    /// How many of the withdrawn ones were judged before.
    judged: usize,
    /// By withdrawn credential: how much later than the acknowledgement it was asked when it was let in last.
    admitted: HashMap<KeyId, Duration>,
    good_answers: usize,
    good_refused: usize,
    withdrawn_answers: usize,
}

/// What one fault came to.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The latest admission of a withdrawn credential after its acknowledgement.
    pub(crate) latest: Duration,
    /// Over the withdrawn credentials, each by its latest admission.
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
    pub(crate) good_answers: usize,
    pub(crate) good_refused: usize,
    pub(crate) withdrawn_answers: usize,
}

/// Asks every node all the time, until it is dropped.
pub(crate) struct Checker {
    seen: Arc<Mutex<Seen>>,
    is_over: Arc<AtomicBool>,
    probes: Vec<JoinHandle<()>>,
}

impl Checker {
    pub(crate) fn start(nodes: &[SocketAddr], good: Vec<Key>) -> Self {
        let seen = Arc::new(Mutex::new(Seen { good, ..Seen::default() }));
        let is_over = Arc::new(AtomicBool::new(false));
        let probe = |node: &SocketAddr| {
            let (node, seen, is_over) = (*node, Arc::clone(&seen), Arc::clone(&is_over));
            std::thread::spawn(move || probe(node, &seen, &is_over))
        };
        let probes = nodes.iter().map(probe).collect();
        Self { seen, is_over, probes }
    }

    /// Takes note of withdrawals, and when they were acknowledged.
    pub(crate) fn withdrawals(&self) -> impl Fn(Key, Instant) + Send + 'static {
        let seen = Arc::clone(&self.seen);
        move |key, at| seen.lock().unwrap().withdrawn.push((key, at))
    }

    /// One that is never withdrawn.
    pub(crate) fn good(&self) -> String {
        self.seen.lock().unwrap().good[0].text.clone()
    }

    pub(crate) fn all_withdrawn(&self) -> Vec<Key> {
        self.seen.lock().unwrap().withdrawn.iter().map(|(key, _)| key.clone()).collect()
    }

    /// What was seen since the last time, and begins anew; what is withdrawn stays so.
    pub(crate) fn verdict(&self) -> Verdict {
        let mut seen = self.seen.lock().unwrap();
        let admitted = std::mem::take(&mut seen.admitted);
        let since = seen.judged;
        seen.judged = seen.withdrawn.len();
        let of = |(key, _): &(Key, Instant)| admitted.get(&key.id).copied().unwrap_or_default();
        let mut each: Vec<Duration> = seen.withdrawn[since..].iter().map(of).collect();
        each.sort();
        let quantile =
            |hundredths: usize| each.get(each.len() * hundredths / 100).copied().unwrap_or_default();
        Verdict {
            latest: admitted.values().max().copied().unwrap_or_default(),
            median: quantile(50),
            p99: quantile(99),
            good_answers: std::mem::take(&mut seen.good_answers),
            good_refused: std::mem::take(&mut seen.good_refused),
            withdrawn_answers: std::mem::take(&mut seen.withdrawn_answers),
        }
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        for probe in self.probes.drain(..) {
            let failed = probe.join().is_err();
            assert!(!failed || std::thread::panicking(), "a probe failed");
        }
    }
}

fn probe(node: SocketAddr, seen: &Mutex<Seen>, is_over: &AtomicBool) {
    let mut turn = 0_usize;
    while !is_over.load(Ordering::SeqCst) {
        let begun = Instant::now();
        turn += 1;
        let asked = {
            let seen = seen.lock().unwrap();
            // Those that were withdrawn last, those of this fault, and all there are, by turns.
            let count = seen.withdrawn.len();
            match (turn % 2, count) {
                (1, 1..) => {
                    let (round, since) = (turn / 6, seen.judged.min(count - 1));
                    let at = match turn % 6 {
                        1 => count - 1 - round % count.min(8),
                        3 => since + round % (count - since),
                        _ => round % count,
                    };
                    seen.withdrawn.get(at).map(|(key, acknowledged)| (key.clone(), Some(*acknowledged)))
                }
                _ => seen.good.get(turn % seen.good.len()).map(|key| (key.clone(), None)),
            }
        };
        if let Some((key, acknowledged)) = asked {
            let sent = Instant::now();
            let status = try_get(node, "/", &key.text);
            let mut seen = seen.lock().unwrap();
            match acknowledged {
                Some(acknowledged) => {
                    seen.withdrawn_answers += usize::from(status.is_some());
                    if status == Some(200) {
                        let late = sent.saturating_duration_since(acknowledged);
                        let latest = seen.admitted.entry(key.id).or_default();
                        *latest = late.max(*latest);
                    }
                }
                None if status == Some(200) => seen.good_answers += 1,
                None => seen.good_refused += 1,
            }
        }
        std::thread::sleep(EVERY.saturating_sub(begun.elapsed()));
    }
}
