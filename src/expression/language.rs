//! The dialect of CEL that expressions are written in: its standard library, and the functions of [`mod@helpers`].
//! Functions that a pipeline could miss get words of their own. `secret` is no function that is evaluated: see
//! [`super::Expression::secret`].

use std::sync::{Arc, LazyLock};

use cel::Env;
use cel::parser::Parser;

use super::{budget, helpers};

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib();
    budget::declare(&mut environment);
    helpers::declare(&mut environment);
    Arc::new(environment)
});

/// The standard library, and the functions of [`budget`].
pub(super) fn environment() -> Arc<Env> {
    Arc::clone(&ENVIRONMENT)
}

pub(super) fn parser() -> Parser {
    ENVIRONMENT.parser()
}

/// Words that are no variable in CEL: its keywords and those it reserves.
const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// Names of types, which stand for themselves: `type(x) == string`.
const TYPES: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "dyn",
    "google",
    "int",
    "list",
    "map",
    "null_type",
    "optional_type",
    "string",
    "type",
    "uint",
];

/// Functions called as `name(...)`.
const FUNCTIONS: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "duration",
    "dyn",
    "has",
    "int",
    "matches",
    "size",
    "string",
    "timestamp",
    "type",
    "uint",
];

/// How many arguments the functions called as `name(...)` take; those not listed take one.
const ARITIES: &[(&str, usize)] = &[("matches", 2)];

fn functions() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().copied().chain(helpers::HELPERS.iter().map(|helper| helper.name))
}

/// What is wrong with calling `name(...)` with so many arguments: a message and how a call is written.
pub(super) fn refuse_arguments(name: &str, count: usize) -> Option<(String, Option<String>)> {
    let helper = helpers::find(name);
    let listed = || ARITIES.iter().find(|(listed, _)| *listed == name).map_or(1, |(_, arity)| *arity);
    let arity = helper.map_or_else(listed, |helper| helper.arity);
    if count == arity || helper.is_none() && !FUNCTIONS.contains(&name) {
        return None;
    }
    let s = if arity == 1 { "" } else { "s" };
    let form = helper.map(|helper| format!("write `{}`", helper.form));
    Some((format!("`{name}` takes {arity} argument{s}, not {count}"), form))
}

/// Functions called as `value.name(...)`.
const METHODS: &[&str] = &[
    "all",
    "contains",
    "endsWith",
    "exists",
    "existsOne",
    "exists_one",
    "filter",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "hasValue",
    "map",
    "matches",
    "optFlatMap",
    "optMap",
    "or",
    "orValue",
    "size",
    "startsWith",
    "value",
];

/// Macros with the form that their calls must have.
const MACROS: &[(&str, &str)] = &[
    ("all", "list.all(x, x > 0)"),
    ("exists", "list.exists(x, x > 0)"),
    ("existsOne", "list.existsOne(x, x > 0)"),
    ("exists_one", "list.exists_one(x, x > 0)"),
    ("filter", "list.filter(x, x > 0)"),
    ("has", "has(stages.build.outputs.image)"),
    ("map", "list.map(x, x + 1)"),
];

/// What functions of other languages are called here.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("count", "size(value)"),
    ("len", "size(value)"),
    ("length", "size(value)"),
    ("now", "execution.startTime` or `execution.createdTime"),
    ("stageByRefId", "stage(id)"),
    ("toString", "string(value)"),
];

pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word) || TYPES.contains(&word)
}

pub(super) fn is_type(word: &str) -> bool {
    TYPES.contains(&word)
}

/// What looks like a function and names a secret.
pub(super) const SECRET: &str = "secret";

/// Whether `target.name(...)` is a function of the library of optional values, not a method.
pub(super) fn is_optional_function(target: &str, name: &str) -> bool {
    target == "optional" && matches!(name, "of" | "none" | "ofNonZeroValue")
}

/// What is wrong with a call of this name: a message and, if there is one, a hint.
pub(super) fn refuse_call(name: &str, method: bool) -> Option<(String, Option<String>)> {
    if let Some((_, form)) = MACROS.iter().find(|(macro_name, _)| *macro_name == name) {
        return Some((format!("`{name}` is called in a wrong way"), Some(format!("write it as in `{form}`"))));
    }
    let known: Vec<&str> = if method { METHODS.to_vec() } else { functions().collect() };
    if known.contains(&name) {
        return None;
    }
    if name == SECRET {
        let hint =
            "write `${ secret(\"name\") }` with the name in quotes; other text stands before and after the braces";
        return Some(("`secret(...)` has to be a whole expression of its own".to_owned(), Some(hint.to_owned())));
    }
    let other = OTHER_NAMES.iter().find(|(other, _)| *other == name).map(|(_, form)| *form);
    let hint = if let Some(form) = other {
        Some(format!("write `{form}`"))
    } else if !method && METHODS.contains(&name) {
        Some(format!("write `value.{name}(...)`"))
    } else if method && functions().any(|known| known == name) {
        Some(format!("write `{name}(value)`"))
    } else {
        crate::diagnostic::nearest(name, known.iter().copied()).map(|near| format!("did you mean `{near}`?"))
    };
    Some((format!("there is no function `{name}`"), hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a call with arguments that may be wrong: a function that exists complains about those only.
    fn is_undeclared(call: &str) -> bool {
        let Ok(program) = environment().compile(call) else { return false };
        let outcome = program.execute(&cel::Context::with_env(environment()));
        matches!(outcome, Err(cel::ExecutionError::UndeclaredReference(_)))
    }

    #[test]
    fn every_function_that_is_let_through_exists() {
        for name in FUNCTIONS {
            assert!(!is_undeclared(&format!("{name}(1)")), "{name}");
        }
        for helper in helpers::HELPERS {
            assert!(helper.form.starts_with(helper.name), "{}", helper.name);
        }
        for name in METHODS {
            let missing = is_undeclared(&format!("'x'.{name}('y')")) && is_undeclared(&format!("[1].{name}(x, true)"));
            assert!(!missing, "{name}");
        }
        for name in ["of", "none", "ofNonZeroValue"] {
            assert!(is_optional_function("optional", name) && !is_undeclared(&format!("optional.{name}(1)")), "{name}");
        }
        assert!(is_undeclared("secret('x')") && is_undeclared("'x'.nope()"));
    }

    #[test]
    fn every_type_name_stands_for_itself() {
        for name in TYPES.iter().filter(|name| **name != "google" && **name != "dyn") {
            let known = environment().compile(name).expect("a name").execute(&cel::Context::with_env(environment()));
            assert!(known.is_ok(), "{name}");
        }
    }
}
