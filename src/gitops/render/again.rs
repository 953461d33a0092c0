//! What is wrong with a template, an application file's or a module's, beside the first error that ends it: the tag that
//! failed is left out, and the template runs once more, so that one commit says all that is to be mended. What is left out
//! is a hole, as where a module failed; nothing that depends on it is reported.
//!
//! A `{{ }}` tag yields the hole in its place. A statement is taken for false, for an empty loop, or sets names to holes.
//! What it decided isn't known then, so that no document comes of the file; but where the names that it sets are only put
//! out as they are, the document has holes there, and is looked at like any other with holes. Each run counts as a failure of the file,
//! of which there may be so many, and uses up what is left of its limits.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;

use minijinja::Error;
use minijinja::machinery::{Span, Token, tokenize};

use super::engine::{self, Placed};
use super::expression::{Spanned, follows_dot};
use super::fault::Stopped;
use super::frame::Frame;
use super::witness::{self, Post};
use super::{call, fault};

/// The name of a hole. No template can write it.
pub(super) const HOLE: &str = "__";

/// Reports an error that ended a template, and looks for others. Yields what the template comes
/// to without the tags that failed; nothing if that can't be told.
pub(super) fn without_failed(frame: &Arc<Frame>, mut error: Error) -> Result<Option<(String, Vec<Placed>)>, Stopped> {
    let mut rest = Rest { text: frame.template.marked.clone().unwrap_or_default(), ..Rest::default() };
    loop {
        let (failed, found) = (rest.tag_of(&error), frame.work.found());
        if !failed.as_ref().is_some_and(|tag| rest.depends(tag)) {
            let post =
                failed.as_ref().filter(|tag| tag.reads(&frame.template.assigned)).and_then(|tag| tag.post.as_ref());
            let held = post.and_then(|post| witness::held(frame, &rest.text, post, &error));
            call::tell(frame, &error, &held.unwrap_or_default());
        }
        frame.work.check()?;
        frame.work.failed_since(found)?;
        let Some(edit) = failed.and_then(|tag| rest.edit(&tag)) else { return Ok(None) };
        frame.run_again();
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
            Ok(_) if rest.is_uncertain || !rest.puts_out_holes_only() => return Ok(None),
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
    /// The names that it sets.
    sets: Vec<Box<str>>,
    /// Where a witness of its failure can stand.
    post: Option<Post>,
}

/// What is to be done to leave a tag out.
struct Omission {
    range: Range<usize>,
    text: &'static str,
    holes: Vec<Box<str>>,
    is_certain: bool,
}

impl Rest {
    /// The tag in which an error came up.
    fn tag_of(&self, error: &Error) -> Option<FailedTag> {
        let at = error.range()?.start;
        let mut found = None;
        self.each_tag(|tokens, close| {
            let inside = tokens.first().is_some_and(|(_, start)| start.start_offset as usize <= at);
            let is_behind = close.end_offset as usize > at;
            if inside && is_behind {
                found = FailedTag::new(tokens, close.start_offset as usize, at);
            }
            !is_behind
        })?;
        found
    }

    /// Goes through the tags, as long as `go_on` says so: its tokens, the one that opens it first, and where the one is that
    /// closes it. Nothing if the text can't be read to that point.
    fn each_tag(&self, mut go_on: impl FnMut(&[Spanned<'_>], &Span) -> bool) -> Option<()> {
        let mut tokens: Vec<Spanned<'_>> = Vec::new();
        for token in tokenize(&self.text, false, engine::syntax()) {
            let (token, span) = token.ok()?;
            match token {
                Token::TemplateData(_) => {}
                Token::VariableStart | Token::BlockStart => tokens = vec![(token, span)],
                Token::VariableEnd | Token::BlockEnd => {
                    if !go_on(&tokens, &span) {
                        return Some(());
                    }
                }
                _ => tokens.push((token, span)),
            }
        }
        Some(())
    }

    /// Whether each tag that reads a name that holds a hole puts it out, or a part of it, and nothing else. Whatever
    /// else is made of a hole may look like a value.
    fn puts_out_holes_only(&self) -> bool {
        let mut good = true;
        let read = self.each_tag(|tokens, _| {
            let reads = |at: usize| {
                matches!(&tokens[at].0, Token::Ident(word) if self.holes.contains(*word)) && !follows_dot(tokens, at)
            };
            good &= !(0..tokens.len()).any(reads) || is_bare(tokens) || is_left_out(tokens);
            good
        });
        good && read.is_some()
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
        let is_certain = match tag.is_value {
            true => tag.first.as_deref() == Some("__e"),
            false => !tag.sets.is_empty(),
        };
        changes.then(|| Omission { range, text, holes: tag.sets.clone(), is_certain })
    }

    fn apply(&mut self, omission: Omission) {
        let Omission { range, text, holes, is_certain } = omission;
        let padded = format!("{text:width$}", width = range.len());
        self.text.replace_range(range, &padded);
        self.holes.extend(holes);
        self.is_uncertain |= !is_certain;
    }
}

impl FailedTag {
    /// Whether it reads one of these names.
    fn reads(&self, names: &BTreeSet<Box<str>>) -> bool {
        self.words.iter().any(|word| names.contains(word) || **word == *"loop")
    }

    /// A tag by its tokens, the one that opens it first, where the one that closes it starts, and where it failed.
    fn new(tokens: &[Spanned<'_>], close: usize, at: usize) -> Option<Self> {
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
        let mut sets = Vec::new();
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
            [(Token::Ident("set"), _), rest @ ..] => assignment(rest, close).map(|(names, range)| {
                sets = names;
                (range, hole_of(sets.len()))
            }),
            [(Token::Ident("with"), _), rest @ ..] => {
                let failed = parts(rest, close).find_map(|(part, end)| {
                    let (names, range) = assignment(part, end)?;
                    let start = part.first()?.1.start_offset as usize;
                    (start..end).contains(&at).then_some((names, range))
                });
                failed.map(|(names, range)| {
                    sets = names;
                    (range, hole_of(sets.len()))
                })
            }
            _ => None,
        };
        let post = instead.as_ref().map(|(range, _)| {
            // A loop's condition and the word `recursive` are no part of what it goes through.
            let ends = |(token, span): &Spanned<'_>| {
                matches!(token, Token::Ident("if" | "recursive")) && range.contains(&(span.start_offset as usize))
            };
            let end = inner.iter().find(|token| ends(token)).filter(|_| first.as_deref() == Some("for"));
            let end = end.map_or(range.end, |(_, span)| span.start_offset as usize);
            Post { range: range.start..end, is_closed: is_value }
        });
        Some(Self { is_value, words, first, instead, sets, post })
    }
}

/// The most names that one assignment may set and be left out.
pub(super) const MOST_NAMES: usize = 9;

/// The name of a hole, or of a list of so many.
fn hole_of(names: usize) -> &'static str {
    const LISTS: [&str; MOST_NAMES + 1] = [" __", " __", "__2", "__3", "__4", "__5", "__6", "__7", "__8", "__9"];
    LISTS.get(names).copied().unwrap_or(" __")
}

/// `name = value` or `name, name = value`, up to `close`: the names, and where the value stands with the space before it.
fn assignment(tokens: &[Spanned<'_>], close: usize) -> Option<(Vec<Box<str>>, Range<usize>)> {
    let sign = tokens.iter().position(|(token, _)| matches!(token, Token::Assign))?;
    let mut names = Vec::new();
    for (token, _) in &tokens[..sign] {
        match token {
            Token::Ident(name) => names.push(Box::from(*name)),
            Token::Comma | Token::ParenOpen | Token::ParenClose => {}
            // An attribute of something else.
            _ => return None,
        }
    }
    // Names in parentheses of their own take lists in the list, and `a, = list` one of a single part.
    let commas = tokens[..sign].iter().filter(|(token, _)| matches!(token, Token::Comma)).count();
    let opened = tokens[..sign].iter().filter(|(token, _)| matches!(token, Token::ParenOpen)).count();
    let good = (1..=MOST_NAMES).contains(&names.len()) && commas + 1 == names.len() && opened <= 1;
    good.then(|| (names, tokens[sign].1.end_offset as usize..close))
}

/// What stands between commas that are in no brackets, each with where it ends.
fn parts<'t, 's>(tokens: &'t [Spanned<'s>], close: usize) -> impl Iterator<Item = (&'t [Spanned<'s>], usize)> {
    let mut depth = 0_usize;
    let mut found = Vec::new();
    let mut from = 0;
    for (at, (token, span)) in tokens.iter().enumerate() {
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => depth += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => depth = depth.saturating_sub(1),
            Token::Comma if depth == 0 => {
                found.push((&tokens[from..at], span.start_offset as usize));
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push((&tokens[from..], close));
    found.into_iter()
}

/// Whether a tag is `{{ __e(12,(name.step)) }}`.
fn is_bare(tokens: &[Spanned<'_>]) -> bool {
    let [
        (Token::VariableStart, _),
        (Token::Ident("__e"), _),
        (Token::ParenOpen, _),
        (Token::Int(_), _),
        (Token::Comma, _),
        (Token::ParenOpen, _),
        (Token::Ident(_), _),
        path @ ..,
        (Token::ParenClose, _),
        (Token::ParenClose, _),
    ] = tokens
    else {
        return false;
    };
    path.iter().all(|(token, _)| matches!(token, Token::Dot | Token::Ident(_)))
}

/// Whether a tag sets names to holes and to nothing else.
fn is_left_out(tokens: &[Spanned<'_>]) -> bool {
    let is_hole = |part: &[Spanned<'_>]| match part {
        [.., (Token::Assign, _), (Token::Ident(name), _)] => name.starts_with(HOLE),
        _ => false,
    };
    match tokens {
        [(Token::BlockStart, _), (Token::Ident("set"), _), rest @ ..] => is_hole(rest),
        [(Token::BlockStart, _), (Token::Ident("with"), _), rest @ ..] => parts(rest, 0).all(|(part, _)| is_hole(part)),
        _ => false,
    }
}
