//! Clears away what has had its time, and makes room.
//!
//! This is also the place to warm the memory by last use: read the subjects that were used last before the
//! restart, behind the feed, through the same desk as everybody's look-ups.

use std::sync::Arc;

use claviger::clock::Clock;

use super::known::Known;
use super::loader::Desk;
use crate::subject::Subject;

/// How many doubtful tokens are looked up at a time.
const TOKENS_AT_ONCE: usize = 1024;
/// Expired tokens are looked for at every so many rounds.
const ROUNDS_PER_EXPIRY: u32 = 30;

/// Tidies up until the task is ended.
pub(super) async fn run(known: Arc<Known>, desk: Desk) {
    let mut interval = tokio::time::interval(known.settings.tidy_every);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut life = known.pulse.beat().life;
    let mut round = 0u32;
    loop {
        interval.tick().await;
        round = round.wrapping_add(1);
        let lost = known.ring.prune(known.boot());
        if lost > 0 {
            known.counts.lost_commits.add(lost);
            tracing::error!(lost, "commits were announced, and what came of them was never told");
        }
        known.settle_suspicions();
        look_up_doubtful_tokens(&known, &desk);
        if round.is_multiple_of(ROUNDS_PER_EXPIRY) {
            known.revoked.drop_expired(known.clock.now());
        }
        let beat = known.pulse.beat();
        let is_full = known.shelves.len() > known.settings.max_entries;
        if beat.life == life && !is_full {
            continue;
        }
        life = beat.life;
        // Walks over millions of entries: not on a thread that others wait for. If it breaks off, the next
        // round tries again.
        let walked = Arc::clone(&known);
        let _broke_off = tokio::task::spawn_blocking(move || {
            walked.shelves.bury(beat);
            let most = walked.settings.max_entries;
            if walked.shelves.len() > most {
                let evicted = walked.shelves.evict_to(most - most / 16, beat);
                walked.counts.evicted.add(evicted);
            }
        })
        .await;
    }
}

/// Finds out what came of the tokens that may be revoked. Until then they are taken to be.
fn look_up_doubtful_tokens(known: &Arc<Known>, desk: &Desk) {
    for (tenant, token) in known.revoked.doubtful(TOKENS_AT_ONCE) {
        let answer = desk.ask(Subject::RevokedToken(tenant, token));
        let known = Arc::clone(known);
        tokio::spawn(async move {
            let found_out = match answer {
                Ok(answer) => answer.await.is_ok_and(|outcome| outcome.is_ok()),
                Err(_) => false,
            };
            if !found_out {
                known.revoked.ask_later(tenant, token);
            }
        });
    }
}
