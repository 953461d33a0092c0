//! What a forge can do to Longboat, in one table: each [`Fault`] against what is sent to a forge (statuses, comments) and
//! what it is asked (its open pull requests and their heads), on each of the three forges.
//!
//! In each cell, in the end everything is there, once, in its last state and in order; another repository on the same
//! forge, and one on another forge, get theirs meanwhile; and the forge is not flooded. Time is moved by hand. The one
//! thing that takes real time is a request that hangs, until its deadline.

mod comments;
mod fault;
mod pulls;
mod statuses;

use std::time::Duration;

use longboat::clock::{Clock, Timestamp};

use crate::support::fakes::{Fake, Product};
use fault::Fault;

/// The repository that is in trouble.
const SICK: &str = "acme/shop";
/// Another one on the same forge.
const WELL: &str = "acme/bank";
/// One on another forge.
const ELSEWHERE: &str = "beta/app";
/// The clock's beginning.
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Whether `texts` are some of `said`, each once and in their order.
fn is_in_order(texts: &[String], said: &[&str]) -> bool {
    let mut rest = said.iter();
    texts.iter().all(|text| rest.any(|one| one == text))
}

/// Waits, without moving the clock.
async fn at_once<F: Future<Output = bool>>(what: &str, done: impl Fn() -> F) {
    let began = std::time::Instant::now();
    while !done().await {
        assert!(began.elapsed() < Duration::from_secs(30), "gave up waiting: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Lets time pass in steps, and what the fault does with it, until `done`.
async fn later<F: Future<Output = bool>>(
    clock: &Clock,
    (fault, fake): (Fault, &Fake),
    step: Duration,
    what: &str,
    done: impl Fn() -> F,
) {
    for _ in 0..4000 {
        if done().await {
            return;
        }
        fault.passes(fake, clock, step).await;
        // Real requests need real time; what is waited for is the condition, not this.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("gave up waiting: {fault:?}: {what}\nseen: {:#?}", fake.seen());
}
