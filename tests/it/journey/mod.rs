//! The whole journey with the real binary, real Git over HTTP and a GitHub that refuses what GitHub refuses.

mod admin;
mod artifacts;
mod bad;
mod bitbucket;
mod commit;
mod hostile;
mod kill;
mod pipelines;
mod secrets;
mod story;
mod terminal;
#[cfg(feature = "otlp")]
mod traces;
mod webhooks;
pub mod world;
