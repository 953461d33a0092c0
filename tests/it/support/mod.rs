//! What the tests stand on.

pub mod cable;
pub mod connection;
pub mod control;
pub mod duty;
pub mod fake_bitbucket;
pub mod fake_github;
pub mod fakes;
pub mod git_http;
pub mod moto;
pub mod postgres;
pub mod repo;
pub mod server;
pub mod wait;
