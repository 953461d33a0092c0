//! Evaluation of a parsed expression against a scope.

use std::collections::BTreeMap;

use cel::{Context, IdedExpr};
use serde_json::Value;

use super::budget::{self, Budget};
use super::helpers::{self, Lookup};
use super::parse::{Body, LooksUp, with_stack};
use super::{Expression, ExpressionError, Scope, cel_value, language, run_error};
use crate::diagnostic::Code;

/// Why an expression that names a secret has no value.
pub(super) const MISPLACED: &str = "a secret can't be used here";

impl Expression {
    /// The expression's value.
    ///
    /// # Errors
    /// If something is missing, an operator doesn't take its values, or the work is too much; the message names
    /// the expression and, where a key is missing, the keys that there are.
    pub fn evaluate(&self, scope: &Scope) -> Result<Value, ExpressionError> {
        match self.body() {
            Body::Path(path) => run_error::lookup(scope, path).cloned().map_err(|missing| {
                let offset = self.references().first().map_or(0, |reference| reference.offset);
                ExpressionError::new(missing.message, offset).hint(missing.hint).code(Code::UnknownVariable)
            }),
            Body::Secret(_) => Err(ExpressionError::new(MISPLACED, 0).code(Code::SecretMisplaced)),
            Body::Cel { tree, deep } => with_stack(*deep, || self.run(tree, scope)),
        }
    }

    /// The values that the expression's references have in a scope, as far as they are short: "`parameters.n` is 4".
    pub fn values_in(&self, scope: &Scope) -> Option<String> {
        let seen = run_error::values_seen(self, scope, "");
        (!seen.is_empty()).then_some(seen)
    }

    fn run(&self, tree: &IdedExpr, scope: &Scope) -> Result<Value, ExpressionError> {
        let mut context = Context::with_env(language::environment());
        let mut wanted: BTreeMap<&str, Vec<&[String]>> = BTreeMap::new();
        for (root, rest) in self.references().iter().filter_map(|reference| reference.path.split_first()) {
            wanted.entry(root).or_default().push(rest);
        }
        for (root, paths) in wanted {
            if let Some(value) = scope.get(root) {
                context.add_variable_as_val(root, cel_value::from_json(value, &paths));
            }
        }
        let named: Vec<&str> = self.calls().iter().map(|call| call.name.as_str()).collect();
        let names = (self.looks_up() == LooksUp::Named).then_some(named.as_slice());
        let lookup = Lookup::new(scope, self.looks_up() != LooksUp::Nothing, names);
        context.add_variable_as_val(helpers::SCOPE, Box::new(lookup));
        let budget = Budget::new();
        context.add_variable_as_val(budget::VARIABLE, Box::new(budget.clone()));
        let outcome = cel::Value::resolve_val(tree, &context);
        if budget.is_spent() {
            return Err(
                self.failure("does more work than an expression may: loops over less data, or does it in a script")
            );
        }
        let value = outcome.map_err(|error| run_error::for_people(self, scope, &error))?;
        cel_value::to_json(value.as_ref()).map_err(|reason| self.failure(&reason))
    }

    fn failure(&self, reason: &str) -> ExpressionError {
        ExpressionError::new(format!("`{}` {reason}", run_error::quoted(self.text())), 0)
    }
}
