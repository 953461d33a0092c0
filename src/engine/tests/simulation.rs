//! The pure core in worlds made from a number: a million steps each time, and any of them again by its number.
//!
//! A world is a random pipeline and a random schedule, as in `random`, with what a real process meets beside: a row
//! that was decided and never written, because the process died; another process that took the execution over, while the
//! first one goes on deciding; answers that come twice; and a clock that is set back. In every other world, stages without
//! an effect answer before the row is written, and share it. The same number gives the same world.
//!
//! ```sh
//! LONGBOAT_SEED=1234 cargo nextest run --no-capture a_million_steps       # that world alone, each step printed
//! LONGBOAT_STEPS=50000000 cargo nextest run a_million_steps               # more of them
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::random::{Answer, Draw, Move, Watched, draw_move, ended_by_the_rules, pipelines};
use super::world::hold;

/// How many steps there are if nobody says.
const STEPS: u64 = 1_000_000;
/// Steps of one world, before it is led to its end.
const SCHEDULE: std::ops::Range<usize> = 20..120;
/// The journal is folded anew after so many steps, and after each crash.
const FOLD: usize = 16;

/// What a world does next.
#[derive(Debug, Clone)]
enum Step {
    /// What can happen to a process that lives.
    Plain(Move),
    /// What follows from it is decided and never written: the process dies, or has lost the execution to another one.
    Lost(Move),
    /// Another owner has taken it over and decides; the first one doesn't know, decides as well, and is refused.
    Outrun(Move, Move),
    /// An answer that was given comes again.
    Again(usize, Answer),
    /// The clock is set back, in seconds.
    Back(u64),
}

fn steps(draw: &mut Draw) -> Vec<Step> {
    let count = SCHEDULE.start + draw.index(SCHEDULE.len());
    let one = |_| match draw.below(17) {
        0..12 => Step::Plain(draw_move(draw)),
        12 | 13 => Step::Lost(draw_move(draw)),
        14 => Step::Outrun(draw_move(draw), draw_move(draw)),
        15 => Step::Again(draw.index(1000), Answer::Done),
        _ => Step::Back(1 + draw.below(99)),
    };
    (0..count).map(one).collect()
}

/// The world of a number: runs it, and yields how many steps it took.
fn world(seed: u64, show: bool) -> u64 {
    // Neighbours get worlds that have nothing in common.
    let spread = |salt: u64| (seed ^ salt).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&spread(0).to_le_bytes());
    bytes[8..].copy_from_slice(&spread(0xD1B5_4A32_D192_ED03).to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::XorShift, &bytes);
    let mut runner = TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng);
    let pipeline = pipelines().new_tree(&mut runner).expect("nothing is rejected").current();
    let mut draw = Draw::of(spread(2));
    let frozen = (draw.below(5) == 0).then_some("release week");
    let steps = steps(&mut draw);
    // In every other world, stages without an effect share the row of what they follow from.
    let mut watched =
        if seed.is_multiple_of(2) { Watched::of(pipeline) } else { Watched::of(pipeline).fusing(spread(1)) };
    watched.run.frozen = frozen.map(hold);
    watched.begin();
    watched.check();
    for (number, step) in steps.iter().enumerate() {
        if show {
            eprintln!("{number}: {step:?}\n    {}", watched.run.stages());
        }
        match step {
            Step::Plain(what) => watched.apply(what),
            Step::Lost(what) => watched.lose(what),
            Step::Outrun(late, step) => watched.outrun(late, step),
            Step::Again(at, answer) => watched.again(*at, *answer),
            Step::Back(seconds) => watched.set_back(*seconds),
        }
        if number % FOLD == 0 || matches!(step, Step::Lost(_) | Step::Outrun(..) | Step::Plain(Move::Crash)) {
            watched.check();
        } else {
            watched.glance();
        }
    }
    let led = watched.lead_to_the_end();
    assert!(watched.run.status().is_complete(), "it never ends: {}", watched.run.stages());
    ended_by_the_rules(&watched.run);
    steps.len() as u64 + led
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is `{text}`, which is no number")))
}

#[test]
fn a_million_steps_keep_the_promises() {
    if let Some(seed) = number("LONGBOAT_SEED") {
        let steps = world(seed, true);
        eprintln!("world {seed}: {steps} steps, nothing wrong");
        return;
    }
    let wanted = number("LONGBOAT_STEPS").unwrap_or(STEPS);
    let (next, taken) = (AtomicU64::new(0), AtomicU64::new(0));
    let wrong = std::thread::scope(|scope| {
        let work = || {
            while taken.load(Ordering::Relaxed) < wanted {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                match catch_unwind(AssertUnwindSafe(|| world(seed, false))) {
                    Ok(steps) => _ = taken.fetch_add(steps, Ordering::Relaxed),
                    Err(_) => return Some(seed),
                }
            }
            None
        };
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("panics are caught")).min()
    });
    if let Some(seed) = wrong {
        panic!("world {seed} breaks a promise; see it again with LONGBOAT_SEED={seed}");
    }
    assert!(taken.load(Ordering::Relaxed) >= wanted);
}

#[test]
fn a_number_gives_the_same_world_each_time() {
    let steps: Vec<u64> = (0..20).map(|seed| world(seed, false)).collect();
    assert_eq!(steps, (0..20).map(|seed| world(seed, false)).collect::<Vec<_>>());
    assert!(steps.iter().any(|count| *count != steps[0]), "worlds differ");
}
