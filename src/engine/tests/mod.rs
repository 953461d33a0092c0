//! Tests of the engine as a whole: its rules one by one, under random schedules and crashes, and the shell over
//! a real database.

mod crash;
mod diagram;
mod dry_run;
mod fleet;
mod fleet_worlds;
mod freeze;
mod house;
mod lanes;
mod pause;
mod random;
mod replicas;
mod restart;
mod rules;
mod shards;
mod shell;
mod simulation;
mod spread;
mod texts;
mod trouble;
mod values;
pub(super) mod world;
