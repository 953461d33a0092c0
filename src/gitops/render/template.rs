//! A template that is ready to be rendered, and the way from its rewritten text back to its file.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use minijinja::machinery::{Token, tokenize};

use super::expression::{Expression, Path, Spanned};
use super::file::File;
use super::growth::{growth, plain_growth};
use super::items::ItemOf;
use super::prepass::Pass;
use super::scan::Scan;
use super::yaml::Forms;
use super::{engine, fault, reserved};
use crate::diagnostic::{Code, Diagnostic};

/// A template, ready to be rendered.
#[derive(Debug)]
pub(super) struct Template {
    /// The file that it stands in.
    pub(super) file: Arc<File>,
    /// Where in the file it starts.
    pub(super) base: usize,
    /// The rewritten text; nothing if the template has no tags, and yields its own text.
    pub(super) marked: Option<String>,
    /// The stretches that were copied: where they stand in the rewritten text, and where in the file.
    copies: Vec<(usize, Range<usize>)>,
    /// For each line mark, where in the file it stands.
    pub(super) marks: Vec<usize>,
    /// The `{{ }}` tags.
    pub(super) tags: Vec<Tag>,
    /// The `{% %}` tags that evaluate something.
    pub(super) statements: Vec<Tag>,
    /// The calls of `module(...)`.
    pub(super) calls: Vec<Call>,
    /// Names that the template gives a value itself; what they hold is not known without running it.
    pub(super) assigned: BTreeSet<Box<str>>,
    /// The names that are read to give those their values: of `{% for x in vars.list %}`, `vars.list` for `x`.
    pub(super) sources: BTreeMap<Box<str>, Vec<Path>>,
    /// Of these names those that loops give the parts of something.
    pub(super) items: BTreeMap<Box<str>, Vec<ItemOf>>,
    /// What was read of the texts that it has yielded.
    pub(super) forms: Forms,
}

/// A `{{ }}` or `{% %}` tag.
#[derive(Debug)]
pub(super) struct Tag {
    /// Where it starts in the file.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// What it holds.
    pub(super) expression: Expression,
}

/// A call of `module(...)`.
#[derive(Debug)]
pub(super) struct Call {
    /// Where it starts in the file.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// Its keyword arguments.
    pub(super) arguments: Vec<(Box<str>, Expression)>,
}

/// The most tags of a template: each may nest a value one deeper, and values are freed by recursion.
const MAX_TAGS: usize = 10_000;
/// The most tokens of one tag: the engine compiles a chain of filters by recursion.
const MAX_TOKENS: usize = 5_000;

impl Template {
    /// A text that is no template.
    pub(super) fn plain(file: Arc<File>, base: usize) -> Self {
        Self {
            file,
            base,
            marked: None,
            copies: Vec::new(),
            marks: Vec::new(),
            tags: Vec::new(),
            statements: Vec::new(),
            calls: Vec::new(),
            assigned: BTreeSet::new(),
            sources: BTreeMap::new(),
            items: BTreeMap::new(),
            forms: Forms::default(),
        }
    }

    /// Reads the template that stands in the file from `base` on. `regions` are the parts of the file that see other
    /// variables than the rest.
    pub(super) fn new(file: Arc<File>, base: usize, regions: &[Range<usize>]) -> Result<Self, Vec<Diagnostic>> {
        Self::read(file, base, regions, true)
    }

    /// The same, for a template that is compiled at once: its syntax may be left unjudged. If compiling it fails, that
    /// may be for a fault of the author's, which [`Template::new`] finds.
    pub(super) fn to_compile(file: Arc<File>, base: usize, regions: &[Range<usize>]) -> Result<Self, Vec<Diagnostic>> {
        Self::read(file, base, regions, false)
    }

    fn read(file: Arc<File>, base: usize, regions: &[Range<usize>], judged: bool) -> Result<Self, Vec<Diagnostic>> {
        let Scan { body, left_out } = Scan::new(&file, base)?;
        let mut template = Self::plain(file, base);
        let (tokens, complete) = template.tokens(&body)?;
        let whole = |token: &Token<'_>| matches!(token, Token::TemplateData(text) if text.len() == body.len());
        if complete && tokens.iter().all(|(token, _)| whole(token)) && body == template.file.text[base..] {
            return Ok(template);
        }
        // What makes texts and lists longer is found in the tokens, or, if that is not enough, in the parsed text.
        let plain = plain_growth(&tokens);
        let parse = || minijinja::machinery::parse(&body, &template.file.name, engine::syntax());
        let parsed = (judged || plain.is_none()).then(parse);
        let growth = match (plain, &parsed) {
            (Some(plain), _) => plain,
            (None, Some(Ok(parsed))) => growth(parsed, &tokens),
            (None, Some(Err(_)) | None) => Vec::new(),
        };
        let mut pass = Pass::new(&template, &body, &left_out, regions, growth);
        pass.run(&tokens);
        let faithful = pass.faithful;
        let Pass { out, findings, copies, marks, tags, statements, calls, assigned, sources, items, open, .. } = pass;
        if !findings.is_empty() {
            return Err(findings);
        }
        // The engine judges the original text: its errors then speak of true places and of the author's words.
        let wrong = match parsed {
            Some(parsed) => parsed.err(),
            None if faithful && complete => None,
            None => parse().err(),
        };
        if let Some(error) = wrong {
            return Err(vec![fault::syntax(&template, &error, open.last())]);
        }
        template =
            Self { marked: Some(out), copies, marks, tags, statements, calls, assigned, sources, items, ..template };
        if template.marks.len().max(template.tags.len()) >= reserved::NUMBERS as usize {
            let message = "the file has more lines and tags than can be told apart";
            return Err(vec![Diagnostic::error(Code::FileTooLarge, message).at(template.file.place(base, base))]);
        }
        Ok(template)
    }

    /// All tokens up to the first error. That error is left to the engine's parser, which words it.
    fn tokens<'a>(&self, body: &'a str) -> Result<(Vec<Spanned<'a>>, bool), Vec<Diagnostic>> {
        let mut tokens: Vec<Spanned<'a>> = Vec::with_capacity(32 + body.len() / 8);
        let (mut tags, mut start) = (0, 0);
        for token in tokenize(body, false, engine::syntax()) {
            let Ok(token) = token else { return Ok((tokens, false)) };
            if matches!(token.0, Token::VariableStart | Token::BlockStart) {
                (tags, start) = (tags + 1, tokens.len());
            }
            if tags > MAX_TAGS || (tags > 0 && tokens.len() - start > MAX_TOKENS) {
                let at = self.base + token.1.start_offset as usize;
                let message = if tags > MAX_TAGS {
                    format!("the template has more than {MAX_TAGS} tags")
                } else {
                    format!("a tag has more than {MAX_TOKENS} words and signs")
                };
                let finding = Diagnostic::error(Code::TemplateSyntax, message).at(self.file.place(at, at));
                return Err(vec![finding.hint("move parts of it into modules or variables")]);
            }
            tokens.push(token);
        }
        Ok((tokens, true))
    }

    /// The stretch of the file that a stretch of the rewritten text stands for, white space at its ends left out.
    pub(super) fn original(&self, marked: Range<usize>) -> Range<usize> {
        let text = &self.file.text;
        let after = self.copies.partition_point(|(at, _)| *at <= marked.start);
        let held = after.checked_sub(1).map(|last| &self.copies[last]);
        let start = match (held, self.copies.get(after)) {
            (Some((at, range)), _) if marked.start < at + range.len() => range.start + marked.start - at,
            (_, Some((_, next))) => next.start,
            (Some((_, range)), None) => range.end,
            (None, None) => self.base,
        };
        let before = self.copies.partition_point(|(at, _)| *at < marked.end);
        let end = before.checked_sub(1).map_or(start, |last| {
            let (at, range) = &self.copies[last];
            range.end.min(range.start + marked.end - at)
        });
        let held = text.get(start..end.max(start)).unwrap_or_default();
        let lead = held.len() - held.trim_start().len();
        start + lead..start + lead.max(held.trim_end().len())
    }

    /// The start of a line of the rewritten text, for errors that know no more.
    pub(super) fn original_line(&self, line: usize) -> usize {
        let marked = self.marked.as_deref().unwrap_or_default();
        let at = marked.match_indices('\n').nth(line.saturating_sub(2)).map_or(0, |(at, _)| at + 1);
        self.original(if line <= 1 { 0..0 } else { at..at }).start
    }
}
