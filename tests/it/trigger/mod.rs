//! From a push to what it starts, with a real store and real repositories. The clock stands still unless moved,
//! so that nothing is polled behind a test's back; local repositories are watched in real time.

mod anew;
mod branches;
mod cron;
mod dependents;
mod duty;
mod endings;
mod first_sight;
mod manual;
mod modules;
mod ownership;
mod publish;
mod pulls;
mod pushes;
mod removal;
mod trouble;
pub mod world;
