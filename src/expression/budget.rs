//! A bound on the work of an expression, and one order for the keys of mappings.
//!
//! CEL always ends, but loops inside loops over large data may take hours, and a `+` in a chain of loops may
//! double a text thirty times. So each syntax tree is rewritten before it is evaluated: a loop goes over
//! `@each(range, @budget)`, which counts its rounds (and sorts the keys of a mapping, whose order CEL leaves
//! open, so that the same input gives the same value), and what a loop computes goes through
//! `@keep(value, @budget)`, which counts its size. No name with `@` can be written in an expression.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cel::common::ast::{CallExpr, EntryExpr, Expr, operators};
use cel::common::types::{CelBool, CelBytes, CelList, CelMap, CelOptional, CelString, DYN_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{Env, ExecutionError, IdedExpr};

use super::helpers;

/// The steps that one evaluation may take: rounds of loops and values made in them. A fraction of a second.
const STEPS: u64 = 200_000;
/// The steps that a regular expression counts as: it has to be compiled.
const MATCH_STEPS: u64 = 100;
/// The memory that a compiled regular expression may take, in bytes.
const PATTERN_SIZE: usize = 512 << 10;

/// The variable that holds the budget.
pub(super) const VARIABLE: &str = "@budget";
const EACH: &str = "@each";
const KEEP: &str = "@keep";
const MATCHES: &str = "@matches";

static TYPE: Type = Type::new_unspecified_type("budget");

/// The steps left to an evaluation.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<AtomicU64>);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(STEPS)))
    }

    /// Whether the evaluation asked for more than it may. CEL's `||` can swallow the error itself.
    pub(super) fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    pub(super) fn spend(&self, steps: u64) -> Result<(), ExecutionError> {
        let left = self.0.load(Ordering::Relaxed).saturating_sub(steps);
        self.0.store(left, Ordering::Relaxed);
        if left == 0 { Err(ExecutionError::function_error(VARIABLE, "spent")) } else { Ok(()) }
    }
}

impl Val for Budget {
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

impl StaticVal for Budget {}

/// Adds the functions that count to an environment.
pub(super) fn declare(environment: &mut Env) {
    let values = |count: usize| std::iter::repeat_with(|| DYN_TYPE).take(count).collect();
    // They can't be declared already: no library has names with `@`.
    let outcomes = [
        environment.add_overload(EACH, "longboat_each", values(2), each),
        environment.add_overload(KEEP, "longboat_keep", values(2), keep),
        environment.add_overload(MATCHES, "longboat_matches", values(3), matches),
    ];
    debug_assert!(outcomes.iter().all(Result::is_ok), "the counting functions are declared twice");
}

/// The tree with the calls that count its work.
pub(super) fn count_work(tree: IdedExpr) -> IdedExpr {
    let loops = has_loop(&tree);
    rewrite(tree, loops)
}

fn has_loop(node: &IdedExpr) -> bool {
    matches!(node.expr, Expr::Comprehension(_)) || super::reference::children(node).into_iter().any(has_loop)
}

fn rewrite(mut node: IdedExpr, loops: bool) -> IdedExpr {
    let inner = |part: &mut IdedExpr| *part = rewrite(std::mem::take(part), loops);
    let kept = |part: &mut IdedExpr| {
        let computed = !matches!(part.expr, Expr::Literal(_));
        inner(part);
        if computed && loops {
            *part = counted(KEEP, vec![std::mem::take(part)]);
        }
    };
    let mut keeps = false;
    match &mut node.expr {
        Expr::Call(call) => {
            call.target.as_deref_mut().into_iter().chain(&mut call.args).for_each(inner);
            match call.func_name.as_str() {
                // The loop's own `@result + [value]` keeps its shape, which the interpreter knows and runs fast.
                operators::ADD => {
                    keeps = loops && !matches!(&call.args[0].expr, Expr::Ident(name) if name.starts_with('@'))
                }
                "matches" => {
                    let arguments = call.target.take().map(|target| *target).into_iter().chain(call.args.drain(..));
                    return counted(MATCHES, arguments.collect());
                }
                name if call.target.is_none() && helpers::find(name).is_some() => {
                    return helpers::rewrite(name, call.args.drain(..).collect());
                }
                _ => {}
            }
        }
        Expr::Comprehension(comprehension) => {
            inner(&mut comprehension.iter_range);
            let range = std::mem::take(&mut comprehension.iter_range);
            comprehension.iter_range = counted(EACH, vec![range]);
            [&mut comprehension.accu_init, &mut comprehension.loop_cond, &mut comprehension.result]
                .into_iter()
                .for_each(inner);
            inner(&mut comprehension.loop_step);
        }
        Expr::List(list) => list.elements.iter_mut().for_each(kept),
        Expr::Map(map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    inner(&mut entry.key);
                    kept(&mut entry.value);
                }
            }
        }
        Expr::Select(select) => inner(&mut select.operand),
        Expr::Struct(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
    if keeps { counted(KEEP, vec![node]) } else { node }
}

fn counted(name: &str, mut args: Vec<IdedExpr>) -> IdedExpr {
    args.push(IdedExpr { id: 0, expr: Expr::Ident(VARIABLE.to_owned()) });
    IdedExpr { id: 0, expr: Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }) }
}

/// Takes the budget off the end of a call's arguments and spends from it.
fn spend(args: &mut Vec<CowVal<'_, '_>>, steps: impl FnOnce(&[CowVal<'_, '_>]) -> u64) -> Result<(), ExecutionError> {
    let last = args.pop();
    let budget = last.as_ref().and_then(|last| last.downcast_ref::<Budget>());
    budget.map_or(Ok(()), |budget| budget.spend(steps(args)))
}

fn each<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let length = |range: &dyn Val| range.as_sizer().map_or(0, |sizer| sizer.size().into_inner().unsigned_abs());
    spend(&mut args, |args| 1 + args.first().map_or(0, |range| length(range.as_ref())))?;
    let range = args.pop().ok_or_else(ExecutionError::missing_argument_or_target)?;
    let keys = range.downcast_ref::<CelMap>().map(|map| {
        let mut keys: Vec<_> = map.inner().keys().cloned().collect();
        keys.sort();
        keys.into_iter().map(|key| key.inner().clone_as_boxed()).collect::<Vec<_>>()
    });
    Ok(match keys {
        Some(keys) => CowVal::owned(CelList::from(keys)),
        None => range,
    })
}

fn keep<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    spend(&mut args, |args| args.first().map_or(0, |value| weight(value.as_ref())))?;
    args.pop().ok_or_else(ExecutionError::missing_argument_or_target)
}

/// What a value counts: one for each part, and one for each 16 bytes of text.
pub(super) fn weight(value: &dyn Val) -> u64 {
    let bytes = |length: usize| 1 + u64::try_from(length / 16).unwrap_or(u64::MAX);
    if let Some(text) = value.downcast_ref::<CelString>() {
        bytes(text.inner().len())
    } else if let Some(data) = value.downcast_ref::<CelBytes>() {
        bytes(data.inner().len())
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        1 + list.inner().iter().map(|item| weight(item.as_ref())).sum::<u64>()
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        1 + map.inner().iter().map(|(key, value)| weight(key.inner()) + weight(value.as_ref())).sum::<u64>()
    } else {
        1 + value.downcast_ref::<CelOptional>().and_then(CelOptional::option).map_or(0, weight)
    }
}

/// What a JSON value counts, likewise.
pub(super) fn weight_of_json(value: &serde_json::Value) -> u64 {
    use serde_json::Value;
    let bytes = |length: usize| 1 + u64::try_from(length / 16).unwrap_or(u64::MAX);
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        Value::String(text) => bytes(text.len()),
        Value::Array(items) => 1 + items.iter().map(weight_of_json).sum::<u64>(),
        Value::Object(map) => 1 + map.iter().map(|(key, item)| bytes(key.len()) + weight_of_json(item)).sum::<u64>(),
    }
}

/// CEL's `matches`, with a bound on what a pattern may cost.
fn matches<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    spend(&mut args, |args| MATCH_STEPS + args.first().map_or(0, |text| weight(text.as_ref())))?;
    let texts = match args.as_slice() {
        [text, pattern] => text.downcast_ref::<CelString>().zip(pattern.downcast_ref::<CelString>()),
        _ => None,
    };
    let Some((text, pattern)) = texts else {
        let types = args.iter().map(|arg| arg.get_type().name().to_owned()).collect();
        return Err(ExecutionError::no_such_member_overload("matches", types));
    };
    let compiled = regex::RegexBuilder::new(pattern.inner()).size_limit(PATTERN_SIZE).build();
    let regex = compiled.map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
        ExecutionError::function_error("matches", format!("`{}` is not a pattern: {reason}", pattern.inner()))
    })?;
    Ok(CowVal::owned(CelBool::from(regex.is_match(text.inner()))))
}
