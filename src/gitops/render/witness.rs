//! What the names of a template held when a tag failed: a loop's item, and not only the list that it is of. The engine's
//! error doesn't say so any more, and to note it in every turn would cost all those templates that don't fail; so the template
//! is run once more, with a witness in front of the tag that failed, which fails again in the same turn.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use minijinja::value::Value;
use minijinja::{Error, State};

use super::frame::Frame;
use super::session::lock;
use super::{engine, fault};

/// The name of the witness. No template can write it.
pub(super) const WITNESS: &str = "__w";

/// The most names that are noted.
const MAX_NAMES: usize = 64;

/// What names held.
pub(super) type Held = HashMap<Box<str>, Value>;

/// Where a witness is put: before an expression of a rewritten template that may be put in parentheses, or stands in some.
#[derive(Debug, Clone)]
pub(super) struct Post {
    /// The expression.
    pub(super) range: Range<usize>,
    /// Whether it begins with a parenthesis that closes in it.
    pub(super) is_closed: bool,
}

/// What the template's own names held when it failed; nothing if that can't be told. `text` is the rewritten template as it
/// was run.
pub(super) fn held(frame: &Arc<Frame>, text: &str, post: &Post, failed: &Error) -> Option<Held> {
    // A limit that is reached once is not for a second run.
    if fault::is_of_limits(failed) || frame.work.check().is_err() {
        return None;
    }
    let Post { range, is_closed } = post;
    let (before, expression, after) = (text.get(..range.start)?, text.get(range.clone())?, text.get(range.end..)?);
    let watched = match is_closed {
        true => format!("{before}{WITNESS}()and{expression}{after}"),
        false => format!("{before} {WITNESS}()and({expression}){after}"),
    };
    let environment = &frame.work.session.kept.environment;
    let compiled = environment.template_from_named_str(&frame.template.file.name, &watched).ok()?;
    frame.run_again();
    let outcome = engine::render(frame, &compiled);
    let held = lock(&frame.witnessed).take();
    let is_same = |error: &Error| error.kind() == failed.kind() && error.line() == failed.line();
    held.filter(|_| outcome.is_err_and(|error| is_same(&error)))
}

/// `__w()`: notes what the template's own names hold, and is true.
pub(super) fn note(state: &mut State<'_, '_>, _: &[Value]) -> Result<Value, Error> {
    let frame = engine::frame(state)?;
    let names = frame.template.assigned.iter().take(MAX_NAMES).map(|name| &**name);
    let held = names.chain(["loop"]).filter_map(|name| Some((Box::from(name), state.lookup(name)?))).collect();
    *lock(&frame.witnessed) = Some(held);
    Ok(Value::from(true))
}
