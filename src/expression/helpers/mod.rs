//! Longboat's own functions: Spinnaker's helpers under their names, and a few more.
//!
//! Each is a pure function over JSON, bounded in what it takes. In a syntax tree that is to be evaluated, a call
//! `name(a)` is `@call("name", a, @scope, @budget)`: the call counts its work, and the functions that look things
//! up by name find them in `@scope`.

mod date;
mod lookup;
#[cfg(test)]
mod tests;
mod text;
mod version;

use std::any::Any;
use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, LiteralValue};
use cel::common::types::{CelString, CelTimestamp, DYN_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{Env, ExecutionError, IdedExpr};
use serde_json::Value;

use super::budget::{self, Budget};
use super::{Scope, cel_value};

pub(super) use lookup::{Tables, no_stage, stage_id};

/// The variable that holds the [`Tables`].
pub(super) const SCOPE: &str = "@scope";
const CALL: &str = "@call";

/// The steps that a call counts as, beside what it takes and yields.
const CALL_STEPS: u64 = 10;
/// The longest text that a value is read from, in bytes.
const MAX_READ: usize = 256 << 10;

/// A function.
pub(super) struct Helper {
    pub(super) name: &'static str,
    /// How many arguments it takes.
    pub(super) arity: usize,
    /// How a call is written.
    pub(super) form: &'static str,
    /// What it yields, for people.
    about: &'static str,
    run: fn(&Arguments<'_>) -> Result<Made, String>,
}

/// What a function is called with.
struct Arguments<'a> {
    values: &'a [Value],
    tables: &'a Tables,
}

/// What a function yields.
enum Made {
    Json(Value),
    Time(jiff::Timestamp),
}

/// A function of expressions, for documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HelperDoc {
    /// How a call is written: `stage(name)`.
    pub form: &'static str,
    /// What it yields.
    pub about: &'static str,
}

/// Longboat's own functions, beside CEL's standard library.
pub fn helpers() -> impl Iterator<Item = HelperDoc> {
    HELPERS.iter().map(|helper| HelperDoc { form: helper.form, about: helper.about })
}

/// All functions.
pub(super) const HELPERS: &[Helper] = &[
    Helper {
        name: "stage",
        arity: 1,
        form: "stage(name)",
        about: "The stage with that name, else with that id: `id`, `name`, `type`, `status`, `outputs`, `context` (its fields, evaluated), `error`, `startTime`, `endTime`.",
        run: lookup::stage,
    },
    Helper {
        name: "judgment",
        arity: 1,
        form: "judgment(name)",
        about: "The input that was chosen in a `manualJudgment` stage; null if it offered none. Of a stage with `matrix` or `forEach`, each instance is judged by itself: `judgment(\"approve[eu]\")`, or all: `stages.approve.outputs.list.map(one, one.judgmentInput)`.",
        run: lookup::judgment,
    },
    Helper {
        name: "judgement",
        arity: 1,
        form: "judgement(name)",
        about: "The same as `judgment`.",
        run: lookup::judgment,
    },
    Helper {
        name: "artifact",
        arity: 1,
        form: "artifact(name)",
        about: "The artifact with that name, or found for the expected artifact with that name or id: of the nearest stage before this one that yields it, else of the start.",
        run: lookup::artifact,
    },
    Helper {
        name: "triggerResolvedArtifact",
        arity: 1,
        form: "triggerResolvedArtifact(name)",
        about: "The artifact that was found at the start for the expected artifact with that name or id.",
        run: lookup::trigger_artifact,
    },
    Helper {
        name: "triggerResolvedArtifactByType",
        arity: 1,
        form: "triggerResolvedArtifactByType(type)",
        about: "The first artifact of that type that was found at the start for an expected artifact.",
        run: lookup::trigger_artifact_by_type,
    },
    Helper { name: "toJson", arity: 1, form: "toJson(value)", about: "The value as JSON text.", run: text::to_json },
    Helper {
        name: "readJson",
        arity: 1,
        form: "readJson(text)",
        about: "The value that a JSON text (at most 256 KiB) stands for.",
        run: text::read_json,
    },
    Helper {
        name: "alphanumerical",
        arity: 1,
        form: "alphanumerical(text)",
        about: "The text without everything that is no letter from A to Z and no digit.",
        run: text::alphanumerical,
    },
    Helper {
        name: "toInt",
        arity: 1,
        form: "toInt(value)",
        about: "A whole number, out of a text or another number; a fraction is cut off.",
        run: text::to_int,
    },
    Helper {
        name: "toFloat",
        arity: 1,
        form: "toFloat(value)",
        about: "A number with a fraction, out of a text or another number.",
        run: text::to_float,
    },
    Helper {
        name: "toBoolean",
        arity: 1,
        form: "toBoolean(value)",
        about: "A truth value, out of the text `true` or `false` in any case.",
        run: text::to_boolean,
    },
    Helper {
        name: "toBase64",
        arity: 1,
        form: "toBase64(text)",
        about: "The text's bytes (UTF-8) in Base64.",
        run: text::to_base64,
    },
    Helper {
        name: "fromBase64",
        arity: 1,
        form: "fromBase64(text)",
        about: "The text that a Base64 text stands for; it must be UTF-8.",
        run: text::from_base64,
    },
    Helper {
        name: "date",
        arity: 1,
        form: "date(value)",
        about: "A moment, out of `2026-03-01`, `2026-03-01T09:30:00Z` (RFC 3339) or milliseconds since 1970. Moments compare, and a `duration(\"36h\")` adds to them.",
        run: date::date,
    },
    Helper {
        name: "formatDate",
        arity: 2,
        form: "formatDate(value, pattern)",
        about: "A moment in UTC as text; the pattern has Java's letters: `yyyy yy MMMM MMM MM M dd d EEEE EEE HH H hh h a mm m ss s SSS DDD X`, and `'text'` in single quotes.",
        run: date::format_date,
    },
    Helper {
        name: "dayOfWeek",
        arity: 1,
        form: "dayOfWeek(value)",
        about: "The day of the week of a moment in UTC: `MONDAY` to `SUNDAY`.",
        run: date::day_of_week,
    },
    Helper {
        name: "semver",
        arity: 1,
        form: "semver(text)",
        about: "A semantic version, a leading `v` allowed: `{major, minor, patch, prerelease, build}`.",
        run: version::semver,
    },
    Helper {
        name: "semverCompare",
        arity: 2,
        form: "semverCompare(a, b)",
        about: "-1, 0 or 1: whether version `a` is before, equal to or after `b`; what stands behind a `+` doesn't count.",
        run: version::compare,
    },
    Helper {
        name: "semverMatches",
        arity: 2,
        form: "semverMatches(version, range)",
        about: "Whether a version lies in a range as Cargo has them: `^1.2`, `~1.2.3`, `>=1.2, <2`, `1.*`.",
        run: version::matches,
    },
];

/// The function of that name.
pub(super) fn find(name: &str) -> Option<&'static Helper> {
    HELPERS.iter().find(|helper| helper.name == name)
}

/// Whether a function looks into the tables of stages and artifacts.
pub(super) fn looks_up(name: &str) -> bool {
    is_about_stages(name) || matches!(name, "artifact" | "triggerResolvedArtifact" | "triggerResolvedArtifactByType")
}

/// Whether a function's argument is the name of a stage.
pub(super) fn is_about_stages(name: &str) -> bool {
    matches!(name, "stage" | "judgment" | "judgement")
}

/// Adds the one function that all calls go through.
pub(super) fn declare(environment: &mut Env) {
    let values = |count: usize| std::iter::repeat_with(|| DYN_TYPE).take(count).collect();
    // They can't be declared already: no library has names with `@`.
    let one = environment.add_overload(CALL, "longboat_call_1", values(4), call);
    let two = environment.add_overload(CALL, "longboat_call_2", values(5), call);
    debug_assert!(one.is_ok() && two.is_ok(), "the helper functions are declared twice");
}

/// The call of a function, as it is evaluated.
pub(super) fn rewrite(name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    let node = |expr| IdedExpr { id: 0, expr };
    let ident = |name: &str| node(Expr::Ident(name.to_owned()));
    let mut all = vec![node(Expr::Literal(LiteralValue::String(CelString::from(name.to_owned()))))];
    all.extend(args);
    all.extend([ident(SCOPE), ident(budget::VARIABLE)]);
    node(Expr::Call(CallExpr { func_name: CALL.to_owned(), target: None, args: all }))
}

fn call<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let budget = args.pop().and_then(|last| last.downcast_ref::<Budget>().cloned());
    let scope = args.pop().and_then(|scope| scope.downcast_ref::<Lookup>().map(|lookup| Arc::clone(&lookup.0)));
    let name = args.first().and_then(|name| name.downcast_ref::<CelString>()).map(|name| name.inner().to_owned());
    let helper = name.as_deref().and_then(find);
    let (Some(budget), Some(tables), Some(helper)) = (budget, scope, helper) else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let fail = |reason: String| ExecutionError::function_error(helper.name, reason);
    let weight: u64 = args[1..].iter().map(|arg| budget::weight(arg.as_ref())).sum();
    budget.spend(CALL_STEPS + weight)?;
    let values = args[1..].iter().map(|arg| cel_value::to_json(arg.as_ref())).collect::<Result<Vec<_>, _>>();
    let values = values.map_err(|reason| fail(format!("its argument {reason}")))?;
    match (helper.run)(&Arguments { values: &values, tables: &tables }).map_err(fail)? {
        Made::Json(value) => {
            budget.spend(budget::weight_of_json(&value))?;
            Ok(CowVal::Owned(cel_value::from_owned_json(value)))
        }
        Made::Time(time) => {
            let time = chrono::DateTime::from_timestamp(
                time.as_second(),
                u32::try_from(time.subsec_nanosecond()).unwrap_or(0),
            );
            let time = time.ok_or_else(|| fail("the moment is out of range".to_owned()))?;
            Ok(CowVal::owned(CelTimestamp::from(time.fixed_offset())))
        }
    }
}

impl Arguments<'_> {
    fn text(&self, at: usize) -> Result<&str, String> {
        match self.values.get(at) {
            Some(Value::String(text)) => Ok(text),
            other => Err(format!("it takes a text, not {}", shown(other.unwrap_or(&Value::Null)))),
        }
    }
}

/// A value as a message shows it: its type, and itself if it is short.
fn shown(value: &Value) -> String {
    let (kind, text) = (cel_value::kind_of(value), value.to_string());
    if value.is_null() || text.chars().count() > 60 { kind.to_owned() } else { format!("{kind} ({text})") }
}

/// The tables as a value that only functions see.
#[derive(Debug, Clone)]
pub(super) struct Lookup(Arc<Tables>);

impl Lookup {
    /// What the calls of an expression may look up in a scope; `names` are the stages that they name, if all do.
    pub(super) fn new(scope: &Scope, needed: bool, names: Option<&[&str]>) -> Self {
        Self(Arc::new(if needed { Tables::of(scope, names) } else { Tables::default() }))
    }
}

static TYPE: Type = Type::new_unspecified_type("scope");

impl Val for Lookup {
    fn get_type(&self) -> &Type {
        &TYPE
    }

    fn cel_type() -> &'static Type {
        &TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Lookup {}
