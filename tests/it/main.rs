//! Longboat from outside and across its rooms: real Git, real HTTP, the real binary.

mod forge;
mod support;
