//! GitHub, github.com and GitHub Enterprise Server: webhooks that come in, statuses that go out.
//!
//! octocrab and the HTTP client stay in `client`, the words of the API in `status`, those of a webhook in
//! [`webhook`].

mod client;
mod status;
pub mod webhook;

pub use client::{GitHub, GitHubOptions, SetupError};
