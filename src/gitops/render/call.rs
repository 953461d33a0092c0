//! Calls of modules, from templates and from `use:`, and the other function that templates have, `file(...)`.

use std::sync::Arc;

use minijinja::value::{Enumerator, Kwargs, Object, Value, from_args};
use minijinja::{Error, ErrorKind, State};

use super::arguments::check_arguments;
use super::fault::{Fault, Stopped};
use super::frame::{Argument, Frame};
use super::lookup::Home;
use super::value::{check_text, to_value};
use super::witness::Held;
use super::yaml::{Form, Input, Places, Read};
use super::{again, engine, fault, origin, reserved, yaml};
use crate::diagnostic::{ChainLink, Code, Diagnostic, Place};
use crate::gitops::{Node, Origin, Pinned, Position, Spot};
use crate::model::{CommitSha, Pin};

/// The longest path that is noted although there is no such file, in bytes.
const LONGEST_PATH: usize = 1024;

/// What stands in for the result of a module that failed. Everything it is asked for is itself, so that one error
/// doesn't lead to others; the document is not used.
#[derive(Debug)]
pub(super) struct Hole;

impl Object for Hole {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from_dyn_object(self.clone()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Empty
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, _: &[Value]) -> Result<Value, Error> {
        Ok(Value::from_dyn_object(self.clone()))
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, _: &str, _: &[Value]) -> Result<Value, Error> {
        Ok(Value::from_dyn_object(self.clone()))
    }
}

/// `module("name", key=value)`; the pre-pass puts the number of the call first.
pub(super) fn module(state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    let frame = engine::frame(state)?;
    frame.work.check()?;
    let known = args.first().filter(|id| id.is_integer()).and_then(Value::as_usize);
    let Some(call) = known.and_then(|id| frame.template.calls.get(id)) else {
        return Err(wrong("`module` has to be called by this name").into());
    };
    let (given, named): (&[Value], Kwargs) = from_args(&args[1..])?;
    let [name] = given else {
        return Err(wrong("`module` gets the module's name and then arguments by name").into());
    };
    // Nothing is known of what is made of a hole.
    let is_hole = |value: &Value| value.downcast_object_ref::<Hole>().is_some();
    if is_hole(name) {
        return Ok(name.clone());
    }
    let Some(name) = engine::defined(state, name)?.to_str() else {
        return Err(wrong("the name of a module has to be text").into());
    };
    let file = &frame.template.file;
    let site = file.origin(call.start, call.end).with_trail(&frame.chain, Vec::new());
    let mut arguments = Vec::new();
    for key in named.args() {
        let written = call.arguments.iter().find(|(known, _)| **known == *key);
        let origin = match written {
            Some((_, expression)) => {
                engine::located(state, &frame, origin::stretch(file, &expression.range), expression)
            }
            None => site.clone(),
        };
        let value = engine::defined(state, &named.peek::<Value>(key)?)?;
        if is_hole(&value) {
            // What it would have been is not for the module to judge, as with `use`.
            return Ok(value);
        }
        let node = engine::node(state, &frame, &value, &origin)?;
        arguments.push(Argument { name: key.into(), node, origin });
    }
    Ok(match invoke(&frame, &name, arguments, &site, site.start())? {
        Some(node) => to_value(&node),
        None => Value::from_object(Hole),
    })
}

fn wrong(message: &str) -> Fault {
    Fault::new(Code::ModuleCall, message).hint("write `{{ module(\"name\", key=value) }}`")
}

/// Renders a module, called at a position of the frame's file. Nothing if it failed, which is reported then.
pub(super) fn invoke(
    frame: &Arc<Frame>,
    name: &str,
    arguments: Vec<Argument>,
    site: &Origin,
    position: Position,
) -> Result<Option<Arc<Node>>, Stopped> {
    frame.work.check()?;
    if let Err(fault) = frame.work.budget.module_call() {
        return Err(frame.exhausted(&fault, site));
    }
    let before = frame.work.found();
    let failed = || {
        frame.work.note_failed_at(frame, site, name);
        frame.work.failed_since(before).map(|()| None)
    };
    let refuse = |finding: Diagnostic| {
        frame.report(finding);
        failed()
    };
    if frame.work.has_failed_at(frame, site, name) {
        return Ok(None);
    }
    let callee = match frame.work.session.callee(name, &frame.home) {
        Ok(callee) => callee,
        Err(fault) => return refuse(site.locate(fault.finding())),
    };
    let found = &callee.found;
    if frame.work.gives_up(&found.name) {
        frame.work.note_failed_at(frame, site, name);
        return Ok(None);
    }
    let place = site.place();
    // The application file's own call: that is the line which its author can change.
    frame.work.uses(&callee, &frame.chain, || match frame.chain.first() {
        Some(first) => Place::point(&*first.file, first.line, first.column),
        None => place.clone(),
    });
    if let Home::Library(opened) = &found.home
        && let Some(branch) = &opened.pinned.also_branch
    {
        frame.report(site.locate(ambiguous(&opened.pinned.pin, branch)));
    }
    if let Some(doubt) = found.doubt() {
        frame.report(site.locate(doubt.clone()));
    }
    let link = ChainLink { file: place.file, line: place.line, column: place.column, module: found.name.clone() };
    let limits = frame.work.budget.limits();
    if frame.chain.iter().any(|link| link.module == found.name) {
        let chain = frame.chain.iter().map(|link| &*link.module).chain([&*found.name]);
        let finding = Diagnostic::error(Code::ModuleRecursion, format!("a module calls itself: {}", shorten(chain)))
            .hint("modules can't be recursive; hand a list to one module instead");
        return refuse(site.locate(finding));
    }
    if frame.chain.len() >= limits.module_depth {
        let fault =
            Fault::new(Code::ModuleLimit, format!("modules call each other more than {} deep", limits.module_depth))
                .hint("let modules call fewer others");
        return Err(frame.exhausted(&fault, site));
    }
    let module = match callee.module(&frame.work.session) {
        Ok(module) => module,
        Err(findings) => {
            let chain: Vec<ChainLink> = frame.chain.iter().cloned().chain([link]).collect();
            findings.iter().for_each(|finding| frame.work.report(finding.clone().chain(chain.clone())));
            return failed();
        }
    };
    let Some(arguments) = check_arguments(frame, module, arguments, site) else {
        return failed();
    };
    let inner = Arc::new(frame.of_call(module, link, arguments, position));
    let result = match &inner.template.marked {
        None => run(&inner, None)?,
        Some(_) => match frame.work.session.kept.template(&module.body) {
            Ok(compiled) => run(&inner, Some(&compiled))?,
            Err(error) => {
                inner.report(fault::too_deep(&inner.template, &error));
                None
            }
        },
    };
    let Some(node) = result else {
        // Its tags that failed are counted.
        frame.work.note_failed_at(frame, site, name);
        frame.work.call_failed(&found.name, before);
        return if frame.work.has_failed() { Ok(None) } else { failed() };
    };
    if let Some(yields) = module.body.header.as_ref().and_then(|header| header.yields) {
        if let Some((at, how)) = yields.mismatch(&node) {
            let message = format!("the module `{}` should yield {}, and {how}", module.name, yields.words());
            let finding = Diagnostic::error(Code::ModuleResult, message);
            let hint = "its header says what it `yields`: correct the header or the body";
            inner.report(at.origin.locate(finding.hint(hint)));
            return failed();
        }
        frame.work.yielded.add(&node, yields, &module.name, site);
    }
    Ok(Some(node))
}

/// That a reference names two things.
fn ambiguous(pin: &Pin, branch: &CommitSha) -> Diagnostic {
    let (name, repository) = (pin.tag().unwrap_or_default(), &pin.repository);
    let message = format!(
        "`{name}` is a tag and a branch of the module repository `{repository}`; the tag ({}) is taken",
        pin.commit.short()
    );
    let hint = format!("rename one of them; the branch is at {}", branch.short());
    Diagnostic::warning(Code::AmbiguousReference, message).hint(hint)
}

/// A chain of names for a message; a long one without its middle.
fn shorten<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match &names[..] {
        [first, second, .., before, last] if names.len() > 6 => format!("{first} → {second} → … → {before} → {last}"),
        _ => names.join(" → "),
    }
}

/// Renders a frame's template and reads what it yields. Nothing if that failed, which is reported then.
pub(super) fn run(
    frame: &Arc<Frame>,
    compiled: Option<&minijinja::Template<'_, '_>>,
) -> Result<Option<Arc<Node>>, Stopped> {
    let template = &frame.template;
    let Some(compiled) = compiled else {
        let text = &template.file.text[template.base..];
        return finish(frame, yaml::read(&input(frame, text, Places::Plain)));
    };
    let (text, placed) = match engine::render(frame, compiled) {
        Ok(rendered) => rendered,
        // There may be further errors than the first one, and the author is told of them all.
        Err(error) => {
            let rest = again::without_failed(frame, error)?;
            frame.work.check()?;
            let Some((text, placed)) = rest else { return Ok(None) };
            let (text, table) = reserved::strip_marks(&text);
            let places = Places::Marked { table: &table, placed: &placed };
            let root = finish(frame, yaml::read(&input(frame, &text, places)))?;
            // Nobody knows what a module yields with a hole in it.
            return Ok(root.filter(|_| frame.chain.is_empty()));
        }
    };
    // An application file yields its text once, a module again and again.
    let is_module = !frame.chain.is_empty() && frame.work.session.kept.remembers();
    let known = if is_module { template.forms.find(&text, &placed) } else { None };
    if known.is_none() && !(is_module && template.forms.has_room(text.len())) {
        let (text, table) = reserved::strip_marks(&text);
        let places = Places::Marked { table: &table, placed: &placed };
        return finish(frame, yaml::read(&input(frame, &text, places)));
    }
    let form = known.unwrap_or_else(|| {
        let form = Form::new(text, &placed);
        let read = Form::read(&input(frame, &form.text, Places::Marked { table: &form.table, placed: &placed }));
        let form = Arc::new(form.with(read));
        frame.work.session.kept.grow(template.forms.keep(form.clone()));
        form
    });
    let places = Places::Marked { table: &form.table, placed: &placed };
    finish(frame, yaml::read_form(&input(frame, &form.text, places), &form))
}

/// A text that a frame's template has yielded.
fn input<'a>(frame: &'a Arc<Frame>, text: &'a str, places: Places<'a>) -> Input<'a> {
    Input {
        text,
        file: &frame.template.file,
        base: frame.template.base,
        places,
        template: &frame.template,
        frame: Some(frame),
        origin: frame.template.file.origin(0, 0).with_trail(&frame.chain, Vec::new()),
        budget: &frame.work.budget,
    }
}

fn finish(frame: &Frame, read: Read) -> Result<Option<Arc<Node>>, Stopped> {
    read.findings.into_iter().for_each(|finding| frame.report(finding));
    if read.stopped {
        return Err(frame.work.stop());
    }
    frame.work.check()?;
    Ok(read.root)
}

/// Reports the error that ended a template. One that says that a limit is reached ends the render of the file. `held` is what
/// the template's own names held then, as far as that is known.
pub(super) fn tell(frame: &Frame, error: &Error, held: &Held) {
    if matches!(error.kind(), ErrorKind::OutOfFuel | ErrorKind::WriteFailure) {
        frame.work.stop();
    }
    if let Some(mut finding) = fault::runtime(&frame.template, error, &frame.names()) {
        let name = finding.message.split('`').nth(1).filter(|_| finding.code == Code::UndefinedValue);
        let environments = name.map(|name| frame.of_environments(name)).unwrap_or_default();
        if !environments.is_empty() {
            let named = environments.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let hint = "a file of variables says it for this environment only";
            finding.hint = Some(format!("only pipelines of {named} have it: {hint}"));
        }
        let file = &frame.template.file;
        let own = finding.place.as_ref().filter(|place| finding.through.is_empty() && *place.file == *file.name);
        let through = own.map_or_else(Vec::new, |place| origin::read_at(frame, place, held));
        frame.report(finding.through(through.iter().map(Spot::place)));
    }
}

/// Whether a path can be one of a repository.
fn may_be_there(path: &str) -> bool {
    let names = std::path::Path::new(path).components();
    !path.is_empty()
        && path.len() <= LONGEST_PATH
        && names.into_iter().all(|name| matches!(name, std::path::Component::Normal(_)))
}

/// `file("path")`: the text of a file of the same commit.
pub(super) fn file(state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    let frame = engine::frame(state)?;
    let [path] = args else {
        return Err(Fault::new(Code::UnreadablePath, "`file` gets one path").hint("write `file(\"path\")`").into());
    };
    let Some(path) = engine::defined(state, path)?.to_str() else {
        return Err(Fault::new(Code::UnreadablePath, "the path of `file` has to be text").into());
    };
    let text = frame.work.session.file_text(&path, &frame.home);
    // One that isn't there is used as well: whoever watches waits for it.
    if text.is_ok() || may_be_there(&path) {
        frame.work.reads(&path, &frame.home);
    }
    let text = text?;
    check_text(&text)?;
    if let Some(place) = place_of(&path, &frame.home) {
        engine::reads(state, place)?;
    }
    if let Err(fault) = frame.work.budget.output(text.len()) {
        frame.work.stop();
        return Err(fault.into());
    }
    Ok(Value::from(text))
}

/// How places name a file that `file(...)` read; nothing if that name stands for another file.
fn place_of(path: &str, home: &Home) -> Option<String> {
    let Home::Library(opened) = home else { return Some(path.to_owned()) };
    let Pinned { folder, source, .. } = &*opened.pinned;
    if folder.is_empty() {
        return Some(opened.pinned.place(path));
    }
    match path.strip_prefix(&**folder).and_then(|rest| rest.strip_prefix('/')) {
        Some(below) => Some(opened.pinned.place(below)),
        // What isn't below the folder of modules is named from the top, unless a file below it has that name.
        None => {
            let taken = source.read(&opened.pinned.path(path)).is_ok_and(|bytes| bytes.is_some());
            (!taken).then(|| opened.pinned.place(path))
        }
    }
}
