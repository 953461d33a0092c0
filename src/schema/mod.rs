//! What a user's file may hold: JSON Schemas made from Rust types, and findings that speak like people.
//!
//! A stage type is a Rust struct of its fields; [`stage_type`] makes its schema, which editors read too. Which
//! stage's schema applies is chosen in code by the stage's `type`, never by a `oneOf` over all stages, so that a
//! finding speaks of the right stage. A field marked `#[schemars(extend("x-longboat-raw" = true))]` is never
//! evaluated ([`StageType::raw`]); a field that may also be an expression is a [`Dynamic`].

mod catalog;
mod dynamic;
mod editor;
mod finding;
pub mod format;
pub mod module;
mod publish;
mod span;
mod words;

pub use catalog::{Catalog, StageType, stage_type};
pub use dynamic::Dynamic;
pub use finding::{SchemaFinding, SchemaFindingKind};
pub use publish::files;
