//! Evaluation of a parsed expression against a scope.

use serde_json::Value;

use super::{Expression, ExpressionError, Scope, cel_value};

impl Expression {
    /// The expression's value.
    ///
    /// # Errors
    /// If something is missing, or an operator doesn't take its values; the message names the expression.
    pub fn evaluate(&self, scope: &Scope) -> Result<Value, ExpressionError> {
        let mut context = cel::Context::default();
        for name in Scope::NAMES {
            if let Some(value) = scope.get(name) {
                let value = cel::to_value(value).map_err(|error| ExpressionError::new(error.to_string(), 0))?;
                context.add_variable_from_value(name, value);
            }
        }
        let fail = |error: String| ExpressionError::new(format!("`{}`: {error}", self.text()), 0);
        let value = self.program().execute(&context).map_err(|error| fail(error.to_string()))?;
        cel_value::to_json(&value).map_err(fail)
    }
}
