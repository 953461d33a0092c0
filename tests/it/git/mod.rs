//! Mirrors of real repositories.

mod http;
mod mirror;
mod read;
mod watch;
