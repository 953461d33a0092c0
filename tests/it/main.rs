//! Longboat from outside and across its rooms: real Git, real HTTP, the real binary. One binary for all of
//! it, because each would be linked anew.

mod chaos;
mod cli;
mod docs;
mod faults;
mod forge;
mod fuzz;
mod git;
mod journey;
mod notify;
mod pages;
mod schema;
mod stage;
mod support;
mod trigger;
