//! Longboat: continuous delivery driven by Git, in one binary.
//!
//! The rooms are described in `docs/ARCHITECTURE.md`; imports between them run downwards only, which
//! `tests/tidy.rs` checks.

pub mod api;
pub mod app;
pub mod bucket;
pub mod cli;
pub mod clock;
pub mod config;
pub mod diagnostic;
pub mod engine;
pub mod expression;
pub mod forge;
pub mod git;
pub mod gitops;
pub mod model;
pub mod notify;
pub mod outbound;
pub mod process;
pub mod review;
pub mod schema;
pub mod secret;
pub mod stage;
pub mod store;
pub mod telemetry;
pub mod trigger;
pub mod ui;

/// What rendering and the engine do is, for a good part, to make small values and to drop them on other threads. Every
/// program of this crate has it, so that what is tested and measured is what ships.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
