//! Several replicas of the real binary on a real PostgreSQL, while they are killed, stopped and cut off.

mod fleet;
mod takeover;
