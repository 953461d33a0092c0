//! Tests of the engine as a whole: its rules one by one, and under random schedules and crashes.

mod random;
mod rules;
mod texts;
mod world;
