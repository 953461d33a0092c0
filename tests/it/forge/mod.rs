//! The forges, against fakes that speak real HTTP.

mod bitbucket;
mod check;
mod comments;
mod contract;
mod deliveries;
pub mod github;
mod pull_requests;
