//! The template engine as Longboat sets it up: strict, bounded, without anything that reaches outside, and with a
//! formatter that keeps values instead of printing them.

use std::io;
use std::sync::{Arc, OnceLock};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Object, ObjectRepr, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior};

use super::call::Hole;
use super::expression::Expression;
use super::fault::Fault;
use super::frame::{FRAME, Frame};
use super::value::{Refusal, to_node};
use super::witness::{self, WITNESS};
use super::{again, call, guards, origin, reserved, scalar, scan};
use crate::diagnostic::Code;
use crate::gitops::{Node, NodeValue, Origin, Position, Spot};

/// How templates are read: without white-space control other than what tags ask for, which [`scan`] adds to, and with
/// comments that only [`scan`] can write.
pub(super) fn syntax() -> SyntaxConfig {
    static SYNTAX: OnceLock<SyntaxConfig> = OnceLock::new();
    let configure = || {
        let mut builder = SyntaxConfig::builder();
        builder.comment_delimiters(scan::COMMENT_START, scan::COMMENT_END).keep_trailing_newline(true);
        // Fails only for empty or equal delimiters.
        builder.build().unwrap_or_default()
    };
    SYNTAX.get_or_init(configure).clone()
}

/// An environment without templates.
///
/// `namespace` is left out because it can make values that contain themselves, which end in a stack overflow;
/// `debug` because it prints the whole state.
pub(super) fn environment(fuel: u64) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_syntax(syntax());
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_auto_reload(false);
    environment.set_debug(true);
    environment.set_fuel(Some(fuel));
    environment.set_formatter(format);
    environment.remove_global("namespace");
    environment.remove_global("debug");
    environment.add_global("__e", Value::from_object(Function("__e", take)));
    environment.add_global("__text", Value::from_object(Function("__text", text)));
    environment.add_global("__k", Value::from_object(Function("__k", key)));
    environment.add_global("__count", Value::from_object(Function("__count", count)));
    environment.add_global("__c", Value::from_object(Function("__c", guards::count)));
    environment.add_global("__d", Value::from_object(Function("__d", guards::count_deep)));
    environment.add_global("__mul", Value::from_object(Function("__mul", guards::multiply)));
    guards::add(&mut environment);
    environment.add_global("module", Value::from_object(Function("module", call::module)));
    environment.add_global(again::HOLE, Value::from_object(Hole));
    environment.add_global(WITNESS, Value::from_object(Function(WITNESS, witness::note)));
    for names in 2..=again::MOST_NAMES {
        let holes: Vec<Value> = (0..names).map(|_| Value::from_object(Hole)).collect();
        environment.add_global(format!("{}{names}", again::HOLE), Value::from(holes));
    }
    environment.add_global("file", Value::from_object(Function("file", call::file)));
    environment
}

/// A function that sees its arguments as they are, keyword arguments and undefined values included.
struct Function(&'static str, fn(&mut State<'_, '_>, &[Value]) -> Result<Value, Error>);

impl std::fmt::Debug for Function {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "<function {}>", self.0)
    }
}

impl Object for Function {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        (self.1)(state, args)
    }
}

/// A value that a tag put out.
#[derive(Debug)]
pub(super) struct Placed {
    /// The value.
    pub(super) node: Arc<Node>,
    /// The number of its tag; nothing for what a `call` or `filter` block yields.
    pub(super) tag: Option<usize>,
    /// Whether it stands for what isn't known, because a module or a tag failed.
    pub(super) is_hole: bool,
}

/// What a render keeps besides its text.
#[derive(Debug)]
struct Table {
    frame: Arc<Frame>,
    /// The tag whose value is printed next.
    tag: Option<usize>,
    /// The files that were read for it.
    files: Vec<String>,
    placed: Vec<Placed>,
}

/// The most files that one value names as those that it came from.
const MAX_FILES: usize = 4;

/// The frame that a state belongs to.
pub(super) fn frame(state: &mut State<'_, '_>) -> Result<Arc<Frame>, Error> {
    table(state).map(|table| table.frame.clone())
}

fn table<'s>(state: &'s mut State<'_, '_>) -> Result<&'s mut Table, Error> {
    if state.get_extension::<Table>().is_none() {
        let frame = state
            .lookup(FRAME)
            .and_then(|value| value.downcast_object::<Frame>())
            .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "the template is not being rendered"))?;
        return Ok(state.get_or_insert_extension(Table { frame, tag: None, files: Vec::new(), placed: Vec::new() }));
    }
    state
        .get_extension_mut::<Table>()
        .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "the template is not being rendered"))
}

/// `__e(number, value)`: says which tag the value that is printed next belongs to.
fn take(state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    let [number, value] = args else { return Err(Error::from(ErrorKind::MissingArgument)) };
    table(state)?.tag = number.as_usize();
    Ok(value.clone())
}

/// `__k(value)`: a key of a mapping. The engine holds 1 and true to be equal and still keeps both or one of them, as it
/// happens, so that truth values are no keys.
fn key(state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    let [value] = args else { return Err(Error::from(ErrorKind::MissingArgument)) };
    let value = defined(state, value)?;
    let what = match value.kind() {
        ValueKind::String | ValueKind::Number => return Ok(value),
        ValueKind::Bool => format!("`{}`", value.is_true()),
        ValueKind::None => "null".to_owned(),
        ValueKind::Map => "a mapping".to_owned(),
        _ => "a list or another object".to_owned(),
    };
    let fault = Fault::new(Code::WrongType, format!("{what} can't be a key of a mapping in a template"));
    Err(fault.hint("a key is text or a number; `value|string` makes text of a value").into())
}

/// A text that is part of a captured block.
#[derive(Debug)]
struct Captured(Arc<str>);

impl Object for Captured {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// `__text(value)`: in a captured block a value is text.
fn text(state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    let [value] = args else { return Err(Error::from(ErrorKind::MissingArgument)) };
    let frame = frame(state)?;
    let value = defined(state, value)?;
    let node = node(state, &frame, &value, &nowhere(&frame))?;
    let text = match &node.value {
        NodeValue::String(text) => text.clone(),
        other => scalar::text(other).map(Arc::from).ok_or_else(|| {
            Fault::new(Code::WrongType, format!("{} stands inside a text", node.kind()))
                .hint("blocks that are captured, and macros, yield text: use `|join(\", \")` or `|tojson`, or a module")
        })?,
    };
    charge(&frame, text.len())?;
    Ok(Value::from_object(Captured(text)))
}

/// `__count(bytes)`: counts the text of a captured block.
fn count(state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    let frame = frame(state)?;
    charge(&frame, args.first().and_then(Value::as_usize).unwrap_or(0))?;
    Ok(Value::from_object(Captured("".into())))
}

fn charge(frame: &Frame, bytes: usize) -> Result<(), Error> {
    frame.work.budget.output(bytes).map_err(|fault| {
        frame.work.stop();
        fault.into()
    })
}

/// Puts a placeholder into the text and the value into the table.
fn format(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if let Some(Captured(text)) = value.downcast_object_ref::<Captured>() {
        return out.write_str(text).map_err(Error::from);
    }
    // The engine refuses undefined values before they get here, except the one of a missing `else`.
    let value = if value.is_undefined() { &Value::from(()) } else { value };
    let is_hole = value.downcast_object_ref::<Hole>().is_some();
    let frame = frame(state)?;
    let tag = table(state)?.tag.take().filter(|tag| *tag < frame.template.tags.len());
    let node = match tag.map(|tag| &frame.template.tags[tag]) {
        Some(tag) => {
            let here = frame.template.file.origin(tag.start, tag.end);
            let origin = located(state, &frame, here, &tag.expression);
            table(state)?.files.clear();
            settle(&frame, node(state, &frame, value, &origin)?, &origin)
        }
        None => node(state, &frame, value, &nowhere(&frame))?,
    };
    let placed = &mut table(state)?.placed;
    let number = u32::try_from(placed.len()).ok().filter(|number| *number < reserved::NUMBERS);
    let Some(number) = number else {
        let message = format!("the template puts out more than {} values", reserved::NUMBERS);
        return Err(Fault::new(Code::TooManyNodes, message).into());
    };
    placed.push(Placed { node, tag, is_hole });
    out.write_str(&reserved::placeholder(number)).map_err(Error::from)
}

/// The origin of what an expression yields, with the files that it read.
pub(super) fn located(state: &mut State<'_, '_>, frame: &Frame, here: Origin, expression: &Expression) -> Origin {
    let origin = origin::of_expression(frame, here, expression, &|name| state.lookup(name));
    match table(state) {
        Ok(table) if expression.reads_file && !table.files.is_empty() => {
            let mut through = origin.through().to_vec();
            origin::extend(&mut through, table.files.iter().map(|file| start_of(file)));
            origin.with_through(through)
        }
        _ => origin,
    }
}

/// Where a file starts.
fn start_of(file: &str) -> Spot {
    let start = Position { line: 1, column: 1 };
    Spot::new(file.into(), start, start)
}

/// Notes that a file is read, by the name that places give it.
pub(super) fn reads(state: &mut State<'_, '_>, file: String) -> Result<(), Error> {
    let files = &mut table(state)?.files;
    if files.len() < MAX_FILES && !files.contains(&file) {
        files.push(file);
    }
    Ok(())
}

/// The value as a node.
pub(super) fn node(
    state: &mut State<'_, '_>,
    frame: &Frame,
    value: &Value,
    origin: &Origin,
) -> Result<Arc<Node>, Error> {
    match to_node(value, origin, &frame.work.budget) {
        Ok(node) => Ok(node),
        Err(Refusal::Fault(fault)) => {
            if matches!(fault.code, Code::TooManyNodes | Code::OutputTooLarge) {
                frame.work.stop();
            }
            Err(fault.into())
        }
        Err(Refusal::Undefined(value)) => {
            defined(state, &value)?;
            Err(Fault::new(Code::UndefinedValue, "a list or mapping holds a value that doesn't exist").into())
        }
    }
}

/// The value, unless it is undefined: then the engine's own error, which has its name. A missing `else` is null.
pub(super) fn defined(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    if !value.is_undefined() {
        return Ok(value.clone());
    }
    // Only what a missing `else` leaves gets past the engine and to the formatter; that value is not kept.
    let placed = table(state)?.placed.len();
    let printed = state.format(value.clone());
    table(state)?.placed.truncate(placed);
    printed.map(|_| Value::from(()))
}

/// A list or mapping that was written elsewhere gets the tag as its origin, and what is in it keeps its own. What a
/// module yields stays as it is: its chain says where it was called.
fn settle(frame: &Frame, node: Arc<Node>, origin: &Origin) -> Arc<Node> {
    let container = matches!(node.value, NodeValue::List(_) | NodeValue::Map(_));
    let (calls, here) = (node.origin.chain().len(), frame.chain.len());
    let fresh = calls == here && node.origin.spot() == origin.spot();
    if !container || calls > here || fresh {
        return node;
    }
    let mut through = origin.through().to_vec();
    origin::extend(
        &mut through,
        std::iter::once(node.origin.spot().clone()).chain(node.origin.through().iter().cloned()),
    );
    Arc::new(Node { value: node.value.clone(), origin: origin.clone().with_trail(&frame.chain, through) })
}

/// A place for values whose own is found later, from where their placeholder stands.
fn nowhere(frame: &Frame) -> Origin {
    let base = frame.template.base;
    frame.template.file.origin(base, base).with_trail(&frame.chain, Vec::new())
}

/// The text that a template yields, and its values. `compiled` is the rewritten template.
pub(super) fn render(
    frame: &Arc<Frame>,
    compiled: &minijinja::Template<'_, '_>,
) -> Result<(String, Vec<Placed>), Error> {
    let budget = &frame.work.budget;
    let expected = frame.template.marked.as_ref().map_or(0, String::len);
    let mut out = Bounded { text: Vec::with_capacity(expected), left: budget.output_left() };
    let mut captured = compiled.render_captured_to(Value::from_dyn_object(frame.clone()), &mut out)?;
    let (fuel, placed) = captured.with_state_mut(|state| {
        let fuel = state.fuel_levels().map_or(0, |(used, _)| used);
        (fuel, state.get_extension_mut::<Table>().map(|table| std::mem::take(&mut table.placed)))
    });
    let used = budget.output(out.text.len()).and_then(|()| budget.fuel(fuel));
    used.inspect_err(|_| {
        frame.work.stop();
    })?;
    let text = String::from_utf8(out.text).map_err(|_| Error::from(ErrorKind::WriteFailure))?;
    Ok((text, placed.unwrap_or_default()))
}

/// Takes text up to a bound.
struct Bounded {
    text: Vec<u8>,
    left: usize,
}

impl io::Write for &mut Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.left {
            return Err(io::Error::other("too much text"));
        }
        self.left -= bytes.len();
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
