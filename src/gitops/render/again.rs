//! What is wrong with an application file beside the first error that ends its template: the tag that failed is left out,
//! and the template runs once more, so that one commit says all that is to be mended. What is left out is a hole, as
//! where a module failed; nothing that depends on it is reported.
//!
//! A `{{ }}` tag yields the hole in its place. A statement is taken for false, for an empty loop, or sets a name to a hole;
//! what it decided isn't known then, so that no document comes of the file. Each run counts as a failure of the file,
//! of which there may be so many, and uses up what is left of its limits.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use minijinja::Error;
use minijinja::machinery::{Token, tokenize};

use super::engine::{self, Placed};
use super::expression::{Spanned, follows_dot};
use super::fault::Stopped;
use super::frame::Frame;
use super::{call, fault};

/// The name of a hole. No template can write it.
pub(super) const HOLE: &str = "__";

/// Reports an error that ended the template of an application file, and looks for others. Yields what the template comes
/// to without the tags that failed; nothing if that can't be told.
pub(super) fn without_failed(frame: &Arc<Frame>, mut error: Error) -> Result<Option<(String, Vec<Placed>)>, Stopped> {
    let mut rest = Rest { text: frame.template.marked.clone().unwrap_or_default(), ..Rest::default() };
    loop {
        let failed = rest.tag_of(&error);
        if !failed.as_ref().is_some_and(|tag| rest.depends(tag)) {
            call::tell(frame, &error);
        }
        frame.work.check()?;
        let Some(edit) = failed.and_then(|tag| rest.edit(&tag)) else { return Ok(None) };
        frame.work.failed()?;
        frame.work.run_again();
        rest.apply(edit);
        let environment = &frame.work.session.kept.environment;
        let outcome = match environment.template_from_named_str(&frame.template.file.name, &rest.text) {
            Ok(compiled) => engine::render(frame, &compiled),
            // It was compiled as it stood before; a tag that is left out makes it no worse.
            Err(error) => {
                frame.report(fault::syntax(&frame.template, &error, None));
                return Ok(None);
            }
        };
        match outcome {
            Ok(_) if rest.is_uncertain => return Ok(None),
            Ok(rendered) => return Ok(Some(rendered)),
            Err(next) => error = next,
        }
    }
}

/// A rewritten template without the tags that failed.
#[derive(Debug, Default)]
struct Rest {
    /// Always of the same length, so that places in it stay what they are.
    text: String,
    /// The names that hold holes.
    holes: HashSet<Box<str>>,
    /// Whether a statement is left out that decided about others.
    is_uncertain: bool,
}

/// A tag of the rewritten template.
#[derive(Debug)]
struct FailedTag {
    /// Whether it is a `{{ }}`.
    is_value: bool,
    /// The names that it reads, among others.
    words: Vec<Box<str>>,
    /// The word that it starts with.
    first: Option<Box<str>>,
    /// What of it is to be replaced, and by what; nothing if that isn't known.
    instead: Option<(Range<usize>, &'static str)>,
    /// The name that it sets.
    sets: Option<Box<str>>,
}

/// What is to be done to leave a tag out.
struct Omission {
    range: Range<usize>,
    text: &'static str,
    hole: Option<Box<str>>,
    is_certain: bool,
}

impl Rest {
    /// The tag in which an error came up.
    fn tag_of(&self, error: &Error) -> Option<FailedTag> {
        let at = error.range()?.start;
        let mut tokens: Vec<Spanned<'_>> = Vec::new();
        for token in tokenize(&self.text, false, engine::syntax()) {
            let (token, span) = token.ok()?;
            match token {
                Token::TemplateData(_) => {}
                Token::VariableStart | Token::BlockStart => tokens = vec![(token, span)],
                Token::VariableEnd | Token::BlockEnd if span.end_offset as usize > at => {
                    let inside = tokens.first().is_some_and(|(_, start)| start.start_offset as usize <= at);
                    return inside.then(|| FailedTag::new(&tokens, span.start_offset as usize))?;
                }
                _ => tokens.push((token, span)),
            }
        }
        None
    }

    /// Whether a tag reads a name that holds a hole: then it may have failed for that reason.
    fn depends(&self, tag: &FailedTag) -> bool {
        tag.words.iter().any(|word| self.holes.contains(word))
    }

    /// How a tag is left out; nothing if it can't be, or was before.
    fn edit(&self, tag: &FailedTag) -> Option<Omission> {
        let (range, text) = tag.instead.clone()?;
        let before = self.text.get(range.clone())?;
        let changes = before.trim_end() != text && text.len() <= range.len();
        let is_certain = tag.is_value && tag.first.as_deref() == Some("__e");
        changes.then(|| Omission { range, text, hole: tag.sets.clone(), is_certain })
    }

    fn apply(&mut self, omission: Omission) {
        let Omission { range, text, hole, is_certain } = omission;
        let padded = format!("{text:width$}", width = range.len());
        self.text.replace_range(range, &padded);
        self.holes.extend(hole);
        self.is_uncertain |= !is_certain;
    }
}

impl FailedTag {
    /// A tag by its tokens, the one that opens it first, and where the one that closes it starts.
    fn new(tokens: &[Spanned<'_>], close: usize) -> Option<Self> {
        let (open, inner) = tokens.split_first()?;
        let is_value = matches!(open.0, Token::VariableStart);
        let words = (0..inner.len()).filter(|at| !follows_dot(inner, *at)).filter_map(|at| match inner[at].0 {
            Token::Ident(word) => Some(Box::from(word)),
            _ => None,
        });
        let words: Vec<Box<str>> = words.collect();
        let first = match inner.first() {
            Some((Token::Ident(word), _)) => Some(Box::from(*word)),
            _ => None,
        };
        let behind = |at: usize| inner.get(at).map(|(_, span)| span.end_offset as usize..close);
        let mut sets = None;
        let instead = match inner {
            // `__e(12,(...))`: what stands behind the comma, and the parenthesis that closes the call.
            [(Token::Ident("__e"), _), (Token::ParenOpen, _), (Token::Int(_), _), (Token::Comma, _), ..]
                if is_value =>
            {
                behind(3).map(|range| (range, "__)"))
            }
            // In a block that is captured, a value is text.
            [(Token::Ident("__text"), _), (Token::ParenOpen, _), ..] if is_value => {
                behind(1).map(|range| (range, "\"\")"))
            }
            [(Token::Ident("if" | "elif"), _), ..] => behind(0).map(|range| (range, " 0")),
            [(Token::Ident("for"), _), ..] => {
                let named = inner.iter().position(|(token, _)| matches!(token, Token::Ident("in")));
                named.and_then(behind).map(|range| (range, " []"))
            }
            [(Token::Ident("set"), _), (Token::Ident(name), _), (Token::Assign, _), ..] => {
                sets = Some(Box::from(*name));
                behind(2).map(|range| (range, " __"))
            }
            _ => None,
        };
        Some(Self { is_value, words, first, instead, sets })
    }
}
