//! Expressions: the `${ ... }` of pipeline files, written in CEL and evaluated when a stage starts.
//!
//! An [`Expression`] is what stands between the braces, a [`Template`] the text around it. Both are parsed
//! once, tell what they refer to without being run ([`Reference`]), and are evaluated against a [`Scope`].
//! [`resolve`] does that for all fields of a stage at once. No type of the CEL library leaves this room.
//!
//! Evaluation is pure: no clock, no randomness, no I/O, and a bounded amount of work.

mod budget;
mod cache;
mod cel_value;
mod evaluate;
mod fields;
mod helpers;
mod language;
mod lex;
mod parse;
mod reference;
mod run_error;
mod syntax_error;
mod template;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::diagnostic::Code;

pub use fields::{FieldError, covers, resolve, resolve_with_secrets, scan_expressions, secrets_named};
pub use helpers::{HelperDoc, helpers};
pub use parse::Expression;
pub use reference::{NamedCall, Reference};
pub use template::{Template, has_expression};

/// Why an expression can't be read or evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// What is wrong, in one sentence that names the expression's part.
    pub message: String,
    /// Where in the text, in characters from its start.
    pub offset: usize,
    /// What to write instead, if that can be told.
    pub hint: Option<String>,
    /// What kind of finding this is, where a file is checked.
    pub code: Code,
}

impl ExpressionError {
    fn new(message: impl Into<String>, offset: usize) -> Self {
        Self { message: message.into(), offset, hint: None, code: Code::ExpressionSyntax }
    }

    fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into();
        self
    }

    fn code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// The same error of an expression that stands further on in a text.
    fn moved(mut self, by: usize) -> Self {
        self.offset += by;
        self
    }
}

/// What an expression sees.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scope {
    /// The values of the pipeline's parameters.
    pub parameters: Value,
    /// Why the execution runs ([`crate::model::Cause`]).
    pub trigger: Value,
    /// The execution: `id`, `application`, `pipeline`, `createdTime`, `startTime`, `status`.
    pub execution: Value,
    /// Stage id to what is known of the stage ([`Scope::STAGE`]).
    pub stages: Value,
    /// Name to value: what the stages before this one yielded as variables, the nearest first.
    pub variables: Value,
    /// What `artifact(...)` looks through: `{artifacts, resolvedExpectedArtifacts}` of each stage before this one,
    /// the nearest first, and of the start.
    pub artifacts: Value,
    /// Of an instance of a stage with `matrix`: its combination. Else null.
    pub matrix: Value,
    /// Of an instance of a stage with `matrix` or `forEach`: `index`, `key` and, under its name, the item. Else null.
    pub each: Value,
}

impl Scope {
    /// The names under which expressions see the scope's parts.
    pub const NAMES: [&'static str; 7] =
        ["each", "execution", "matrix", "parameters", "stages", "trigger", "variables"];

    /// What they see under `execution`.
    pub const EXECUTION: [&'static str; 6] = ["id", "application", "pipeline", "createdTime", "startTime", "status"];

    /// What they see of each stage.
    pub const STAGE: [&'static str; 9] =
        ["id", "name", "type", "status", "outputs", "context", "error", "startTime", "endTime"];

    /// The stage that a name means: the first with that name, else the one with that id.
    ///
    /// # Errors
    /// If there is none; the message names the nearest.
    pub fn stage_named(&self, name: &str) -> Result<&Value, String> {
        let stages = self.stages.as_object();
        let id = stages.and_then(|stages| helpers::stage_id(stages, name));
        id.and_then(|id| self.stages.get(id)).ok_or_else(|| helpers::no_stage(&self.stages, name))
    }

    fn get(&self, name: &str) -> Option<&Value> {
        match name {
            "parameters" => Some(&self.parameters),
            "trigger" => Some(&self.trigger),
            "execution" => Some(&self.execution),
            "stages" => Some(&self.stages),
            "variables" => Some(&self.variables),
            // They are there within an instance alone.
            "matrix" => Some(&self.matrix).filter(|matrix| !matrix.is_null()),
            "each" => Some(&self.each).filter(|each| !each.is_null()),
            _ => None,
        }
    }
}
