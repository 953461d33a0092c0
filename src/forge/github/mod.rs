//! GitHub, github.com and GitHub Enterprise Server: webhooks that come in, statuses that go out.
//!
//! Everything of octocrab stays in [`status`](self) and its HTTP client; everything of a webhook's JSON in
//! [`webhook`].

mod client;
mod status;
pub mod webhook;

pub use client::{GitHub, GitHubOptions, SetupError};
