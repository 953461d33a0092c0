//! Reading an expression.

use std::sync::Arc;

use super::{ExpressionError, Reference};

/// A parsed expression; cheap to clone.
#[derive(Debug, Clone)]
pub struct Expression(Arc<Parsed>);

#[derive(Debug)]
struct Parsed {
    text: String,
    program: cel::Program,
    references: Vec<Reference>,
}

impl Expression {
    /// The longest expression, in bytes.
    pub const MAX_LENGTH: usize = 4096;

    /// Reads an expression, without `${ }` around it.
    ///
    /// # Errors
    /// If the text is not an expression, is too long, or nests too deeply.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        if text.len() > Self::MAX_LENGTH {
            let message = format!("the expression is longer than {} bytes", Self::MAX_LENGTH);
            return Err(ExpressionError::new(message, 0));
        }
        let program = cel::Program::compile(text).map_err(|error| ExpressionError::new(error.to_string(), 0))?;
        Ok(Self(Arc::new(Parsed { text: text.to_owned(), program, references: Vec::new() })))
    }

    /// The text that was read.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// What the expression refers to, as far as that can be told without running it.
    pub fn references(&self) -> &[Reference] {
        &self.0.references
    }

    pub(super) fn program(&self) -> &cel::Program {
        &self.0.program
    }
}
