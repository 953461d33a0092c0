//! What bounds the memory that a template's operations take: each is counted before it is done, and the sum is bounded
//! for a file ([`super::budget`]). [`super::growth`] says where the functions of this file are put.

use minijinja::value::{Kwargs, Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, filters};

use super::engine;
use super::fault::Fault;
use crate::diagnostic::Code;

/// What an item of a list takes.
const ITEM: usize = 32;

/// Puts filters in the place of the engine's that count first what they would make.
pub(super) fn add(environment: &mut Environment<'_>) {
    macro_rules! counted {
        ($($name:literal $filter:ident $cost:expr;)*) => {$({
            let filter = Value::from_function(filters::$filter);
            environment.add_filter($name, move |state: &mut State<'_, '_>, given: Rest<ValueOrKwargs>| {
                let given = given.into_values();
                let cost: fn(&[Value], usize) -> usize = $cost;
                let left = engine::frame(state)?.work.budget.work_left();
                charge(state, cost(&given, left))?;
                filter.call(state, &given)
            });
        })*};
    }
    counted! {
        "lower" lower shallow;
        "upper" upper shallow;
        "title" title shallow;
        "capitalize" capitalize shallow;
        "trim" trim shallow;
        "safe" safe shallow;
        "escape" escape |given, left| deep_of(given, left).saturating_mul(6);
        "e" escape |given, left| deep_of(given, left).saturating_mul(6);
        "string" string deep_of;
        "pprint" pprint |given, left| deep_of(given, left).saturating_mul(16);
        "tojson" tojson to_json;
        "replace" replace replace;
        "join" join join;
        "format" format format;
        "indent" indent indent;
        "split" split split;
        "lines" lines |given, _| text(given, 0).map_or(0, |text| text.matches('\n').count().saturating_mul(ITEM));
        "list" list |given, left| text(given, 0).map_or(0, |text| text.len() * ITEM).saturating_add(shallow(given, left));
        "batch" batch groups;
        "slice" slice groups;
        "reverse" reverse shallow;
        "items" items shallow;
        "map" map shallow;
        "select" select shallow;
        "reject" reject shallow;
        "selectattr" selectattr shallow;
        "rejectattr" rejectattr shallow;
        "chain" chain shallow;
        "zip" zip shallow;
        "min" min shallow;
        "max" max shallow;
        "sum" sum shallow;
        "dictsort" dictsort deep_of;
        "sort" sort deep_of;
        "unique" unique deep_of;
        "groupby" groupby deep_of;
    }
    environment.add_filter("__c", |state: &mut State<'_, '_>, value: Value| -> Result<Value, Error> {
        count(state, std::slice::from_ref(&value))?;
        Ok(value)
    });
    let dict = Value::from_function(minijinja::functions::dict);
    environment.add_function("dict", move |state: &mut State<'_, '_>, given: Rest<ValueOrKwargs>| {
        let given = given.into_values();
        let left = engine::frame(state)?.work.budget.work_left();
        charge(state, shallow(&given, left))?;
        dict.call(state, &given)
    });
}

fn charge(state: &mut State<'_, '_>, bytes: usize) -> Result<(), Error> {
    let frame = engine::frame(state)?;
    frame.work.budget.work(bytes).map_err(|fault| {
        frame.work.stop();
        fault.into()
    })
}

/// `__c(value)`: a part of a sum, which is a text or a list.
pub(super) fn count(state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    let [value] = args else { return Err(Error::from(ErrorKind::MissingArgument)) };
    let left = engine::frame(state)?.work.budget.work_left();
    charge(state, weight(value, left))?;
    Ok(value.clone())
}

/// `__d(value)`: a part of a text, whatever it was before.
pub(super) fn count_deep(state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    let [value] = args else { return Err(Error::from(ErrorKind::MissingArgument)) };
    let left = engine::frame(state)?.work.budget.work_left();
    charge(state, deep(value, left))?;
    Ok(value.clone())
}

/// `__mul(a, b)`: the product of two numbers, or a text or list over and over.
pub(super) fn multiply(state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    let [a, b] = args else { return Err(Error::from(ErrorKind::MissingArgument)) };
    let (a, b) = (engine::defined(state, a)?, engine::defined(state, b)?);
    let repeated = |value: &Value| matches!(value.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Iterable);
    let (what, times) = if repeated(&a) { (&a, &b) } else { (&b, &a) };
    if !repeated(what) {
        return product(&a, &b).ok_or_else(|| {
            let message = format!("`*` can't be applied to {} and {}", of_kind(&a), of_kind(&b));
            Fault::new(Code::TemplateFailed, message).into()
        });
    }
    let Some(times) = times.as_usize().filter(|_| times.is_integer()) else {
        let message = format!("{} can only be multiplied by a whole number that is not negative", of_kind(what));
        return Err(Fault::new(Code::TemplateFailed, message).into());
    };
    let left = engine::frame(state)?.work.budget.work_left();
    charge(state, weight(what, left).saturating_mul(times))?;
    if let Some(text) = what.as_str() {
        return Ok(Value::from(text.repeat(times)));
    }
    let items: Vec<Value> = what.try_iter()?.collect();
    Ok(Value::from(items.iter().cycle().take(items.len() * times).cloned().collect::<Vec<_>>()))
}

/// As the engine multiplies: whole numbers stay whole, and what doesn't fit any number is none.
fn product(a: &Value, b: &Value) -> Option<Value> {
    let number = |value: &Value| matches!(value.kind(), ValueKind::Number | ValueKind::Bool);
    if !(number(a) && number(b)) {
        return None;
    }
    let whole = |value: &Value| match value.kind() {
        ValueKind::Bool => Some(i128::from(value.is_true())),
        _ if value.is_integer() => i128::try_from(value.clone()).ok(),
        _ => None,
    };
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => {
            let product = a.checked_mul(b)?;
            Some(i64::try_from(product).map_or_else(|_| Value::from(product), Value::from))
        }
        (one, other) => {
            let float = |whole: Option<i128>, value: &Value| match whole {
                Some(whole) => Some(whole as f64),
                None => f64::try_from(value.clone()).ok(),
            };
            Some(Value::from(float(one, a)? * float(other, b)?))
        }
    }
}

fn of_kind(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::None => "null",
        ValueKind::Bool => "a boolean",
        ValueKind::Number => "a number",
        ValueKind::String => "a text",
        ValueKind::Seq | ValueKind::Iterable => "a list",
        ValueKind::Map => "a mapping",
        _ => "something else",
    }
}

/// What a copy of a value takes: the letters of a text, the items of a list.
fn weight(value: &Value, left: usize) -> usize {
    match value.kind() {
        ValueKind::String => value.as_str().map_or(0, str::len),
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {
            let counted = || value.try_iter().map_or(0, |items| items.take(left / ITEM + 1).count());
            value.len().unwrap_or_else(counted).saturating_mul(ITEM)
        }
        _ => 0,
    }
}

/// What a value takes as text, with all that is in it. It is counted until nothing is left.
fn deep(value: &Value, left: usize) -> usize {
    match value.kind() {
        ValueKind::String => value.as_str().map_or(0, str::len),
        ValueKind::Map => {
            let Some(pairs) = value.as_object().and_then(|object| object.try_iter_pairs()) else { return 0 };
            summed(pairs.flat_map(|(key, value)| [key, value]), left)
        }
        ValueKind::Seq | ValueKind::Iterable => value.try_iter().map_or(0, |items| summed(items, left)),
        _ => ITEM,
    }
}

fn summed(parts: impl Iterator<Item = Value>, left: usize) -> usize {
    let mut sum: usize = ITEM;
    for part in parts {
        sum = sum.saturating_add(deep(&part, left.saturating_sub(sum))).saturating_add(4);
        if sum > left {
            break;
        }
    }
    sum
}

fn shallow(given: &[Value], left: usize) -> usize {
    given.iter().map(|value| weight(value, left)).fold(0, usize::saturating_add)
}

fn deep_of(given: &[Value], left: usize) -> usize {
    given.iter().map(|value| deep(value, left)).fold(0, usize::saturating_add)
}

fn text(given: &[Value], at: usize) -> Option<&str> {
    given.get(at).and_then(Value::as_str)
}

/// A number that is given by its place or by its name.
fn number(given: &[Value], at: usize, name: &str) -> usize {
    let named = given.last().cloned().and_then(|last| Kwargs::try_from(last).ok());
    let named = named.and_then(|named| named.peek::<Value>(name).ok());
    let value = named.or_else(|| given.get(at).cloned());
    value.and_then(|value| value.as_usize()).unwrap_or(0)
}

fn to_json(given: &[Value], left: usize) -> usize {
    let each = number(given, 1, "indent").saturating_mul(8).saturating_add(6);
    given.first().map_or(0, |value| deep(value, left)).saturating_mul(each)
}

fn replace(given: &[Value], left: usize) -> usize {
    let (Some(whole), Some(from), Some(to)) = (text(given, 0), text(given, 1), text(given, 2)) else {
        return deep_of(given, left);
    };
    whole.matches(from).count().saturating_mul(to.len()).saturating_add(whole.len())
}

fn join(given: &[Value], left: usize) -> usize {
    let Some(list) = given.first() else { return 0 };
    let between = given.get(1).map_or(0, |value| deep(value, left));
    let items = match list.as_str() {
        Some(text) => text.len(),
        None => weight(list, left) / ITEM,
    };
    deep(list, left).saturating_add(items.saturating_mul(between))
}

/// The widths that the text asks for, and for each place that is filled the longest of what is given.
fn format(given: &[Value], left: usize) -> usize {
    let Some(form) = text(given, 0) else { return 0 };
    let digits = form.split(|letter: char| !letter.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let widths = digits.map(|digits| digits.parse().unwrap_or(usize::MAX)).fold(0, usize::saturating_add);
    let stars = form.matches('*').count();
    let numbers = given[1..].iter().filter_map(Value::as_usize).max().unwrap_or(0);
    let longest = given[1..].iter().map(|value| deep(value, left)).max().unwrap_or(0);
    let filled = form.matches('%').count().saturating_mul(longest.saturating_add(ITEM));
    form.len().saturating_add(widths).saturating_add(filled).saturating_add(stars.saturating_mul(numbers))
}

fn indent(given: &[Value], _: usize) -> usize {
    let Some(text) = text(given, 0) else { return 0 };
    let lines = text.matches('\n').count() + 1;
    lines.saturating_mul(number(given, 1, "width").max(4)).saturating_add(text.len())
}

fn split(given: &[Value], _: usize) -> usize {
    let Some(whole) = text(given, 0) else { return 0 };
    let parts = match text(given, 1) {
        Some(between) => whole.matches(between).count(),
        None => whole.split_whitespace().count(),
    };
    parts.saturating_add(2).saturating_mul(ITEM).saturating_add(whole.len())
}

/// Lists of lists, as many or as long as a number says.
fn groups(given: &[Value], left: usize) -> usize {
    let asked = given.get(1).and_then(Value::as_usize).unwrap_or(0);
    shallow(given, left).saturating_add(asked.saturating_mul(ITEM))
}
