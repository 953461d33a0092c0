//! The rows of the table.

use std::time::Duration;

use longboat::clock::Clock;

use super::{Fake, SICK};
use crate::support::control::{Fault as OfARequest, Limit};

/// What a forge does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No connection about one repository stands for an hour.
    DownForAnHour,
    /// No connection at all stands for an hour.
    ForgeDownForAnHour,
    /// Each second request about one repository is answered 500, the first of them or the second, for ever.
    EverySecondCall { from_the_first: bool },
    /// Requests about one repository are never answered, for ten minutes.
    Hanging,
    /// Too many requests, for ten minutes or until it is said to be over.
    RateLimited(Limit),
    /// What is asked about one repository is done, and the answer comes after the deadline; for ten minutes.
    AnsweringLate,
    /// What is sent about one repository is done only after the deadline, for ever.
    ActingLate,
    /// Answers about one repository come in the reverse order of the requests, for ever.
    OutOfOrder,
}

pub const ALL: [Fault; 12] = [
    Fault::DownForAnHour,
    Fault::ForgeDownForAnHour,
    Fault::EverySecondCall { from_the_first: false },
    Fault::EverySecondCall { from_the_first: true },
    Fault::Hanging,
    Fault::RateLimited(Limit::TooMany),
    Fault::RateLimited(Limit::RetryAfter),
    Fault::RateLimited(Limit::Reset),
    Fault::RateLimited(Limit::Silent),
    Fault::AnsweringLate,
    Fault::ActingLate,
    Fault::OutOfOrder,
];

impl Fault {
    /// It begins.
    pub fn begin(self, fake: &Fake) {
        fake.fail_only(self.is_about_one().then(|| fake.path_of(SICK)).as_deref());
        match self {
            Self::DownForAnHour | Self::ForgeDownForAnHour => fake.fail_always(Some(OfARequest::BreakBefore)),
            Self::EverySecondCall { from_the_first } => {
                fake.fail_calls(Some((2, OfARequest::Answer(500))));
                if from_the_first {
                    fake.skip_a_call();
                }
            }
            Self::Hanging => fake.fail_always(Some(OfARequest::HangBefore)),
            Self::RateLimited(limit) => fake.limit(limit, self.lasts()),
            Self::AnsweringLate => fake.fail_always(Some(OfARequest::HangAfter)),
            Self::ActingLate => fake.fail_every(1, OfARequest::Late),
            Self::OutOfOrder => fake.fail_always(Some(OfARequest::GateAfter)),
        }
    }

    /// How long it lasts; zero: for ever, and everything has to get through even so.
    pub fn lasts(self) -> Duration {
        match self {
            Self::DownForAnHour | Self::ForgeDownForAnHour => Duration::from_secs(3600),
            Self::Hanging | Self::RateLimited(_) | Self::AnsweringLate => Duration::from_secs(600),
            Self::EverySecondCall { .. } | Self::ActingLate | Self::OutOfOrder => Duration::ZERO,
        }
    }

    /// Whether it is about one repository, or about the whole forge.
    pub fn is_about_one(self) -> bool {
        !matches!(self, Self::ForgeDownForAnHour | Self::RateLimited(_))
    }

    /// How long a request may take in it, in real time.
    pub fn patience(self) -> Duration {
        match self {
            Self::Hanging | Self::AnsweringLate | Self::ActingLate => Duration::from_millis(300),
            _ => Duration::from_secs(10),
        }
    }

    /// Lets time pass.
    pub async fn passes(self, fake: &Fake, clock: &Clock, step: Duration) {
        match self {
            Self::OutOfOrder if fake.at_gate() > 0 => fake.open_gate_backwards().await,
            // What waits there is done when whoever sent it has given up, before they come again.
            Self::ActingLate if fake.at_gate() > 0 => {
                if fake.under_way() == 0 {
                    fake.at_rest().await;
                }
            }
            _ => clock.advance(step),
        }
    }
}
