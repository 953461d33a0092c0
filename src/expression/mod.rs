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

pub use fields::{FieldError, covers, resolve, resolve_with_secrets, scan_expressions};
pub use parse::Expression;
pub use reference::Reference;
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
    /// The execution: `id`, `application`, `pipeline`, `createdTime`.
    pub execution: Value,
    /// Stage id to `{status, outputs}`.
    pub stages: Value,
}

impl Scope {
    /// The names under which expressions see the scope's parts.
    pub const NAMES: [&'static str; 4] = ["execution", "parameters", "stages", "trigger"];

    fn get(&self, name: &str) -> Option<&Value> {
        match name {
            "parameters" => Some(&self.parameters),
            "trigger" => Some(&self.trigger),
            "execution" => Some(&self.execution),
            "stages" => Some(&self.stages),
            _ => None,
        }
    }
}
