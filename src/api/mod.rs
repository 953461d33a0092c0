//! The HTTP interface for programs (Gate).

mod guard;
mod problem;

pub use guard::{REQUEST_DEADLINE, guard};
