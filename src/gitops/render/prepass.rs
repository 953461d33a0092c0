//! Rewrites a template so that its values and lines can be recognised in what it yields.
//!
//! Works on the engine's own tokens, and puts the template together anew from them: `{{ e }}` becomes
//! `{{ __e(12,(e)) }}`, where 12 is the number of the tag; every line of text gets a mark; in blocks that are
//! captured into a variable `{{ e }}` becomes `{{ __text((e)) }}`, because what is captured is text.
//!
//! What could make texts and lists longer without bound gets a call that counts it ([`super::growth`]), and a key of a
//! mapping that is an expression one that looks at it.
//!
//! A name `vars` in a part of a file that belongs to an environment becomes `__vars2`, where 2 is the number of the
//! part.
//!
//! The engine hands out text with its white-space control already done, and `scan` says which text is left out with
//! statements that stand alone; so the new template has no such control, and nothing put into it can disturb it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use minijinja::machinery::Token;

use super::expression::{Expression, Path, Spanned, follows_dot};
use super::file::File;
use super::growth::Edit;
use super::items::{ItemOf, items};
use super::reserved;
use super::template::{Call, Tag, Template};
use crate::diagnostic::{Code, Diagnostic};

/// The most things that are remembered of what a name is made of.
const MAX_SOURCES: usize = 16;

/// The name of a region's variables, before its number.
pub(super) const VARS: &str = "__vars";

/// What the pass over the tokens gathers.
pub(super) struct Pass<'a> {
    left_out: &'a [Range<usize>],
    regions: &'a [Range<usize>],
    /// What bounds the template's operations, in the order of the body.
    growth: Vec<Edit>,
    file: &'a File,
    base: usize,
    body: &'a str,
    pub(super) out: String,
    pub(super) copies: Vec<(usize, Range<usize>)>,
    pub(super) marks: Vec<usize>,
    pub(super) tags: Vec<Tag>,
    pub(super) statements: Vec<Tag>,
    pub(super) calls: Vec<Call>,
    pub(super) assigned: BTreeSet<Box<str>>,
    pub(super) sources: BTreeMap<Box<str>, Vec<Path>>,
    pub(super) items: BTreeMap<Box<str>, Vec<ItemOf>>,
    /// The captured blocks that are open, outermost first.
    captured: Vec<&'static str>,
    /// All blocks that are open, and where they start.
    pub(super) open: Vec<(Box<str>, Range<usize>)>,
    pub(super) findings: Vec<Diagnostic>,
    /// Whether the engine can only take the rewritten template if it would take the original.
    pub(super) faithful: bool,
}

impl<'a> Pass<'a> {
    /// Nothing gathered yet.
    pub(super) fn new(
        template: &'a Template,
        body: &'a str,
        left_out: &'a [Range<usize>],
        regions: &'a [Range<usize>],
        growth: Vec<Edit>,
    ) -> Self {
        Self {
            left_out,
            regions,
            growth,
            file: &template.file,
            base: template.base,
            body,
            out: String::with_capacity(body.len() * 2),
            copies: Vec::new(),
            marks: Vec::new(),
            tags: Vec::new(),
            statements: Vec::new(),
            calls: Vec::new(),
            assigned: BTreeSet::new(),
            sources: BTreeMap::new(),
            items: BTreeMap::new(),
            captured: Vec::new(),
            open: Vec::new(),
            findings: Vec::new(),
            faithful: true,
        }
    }

    /// Goes over the tokens.
    pub(super) fn run(&mut self, tokens: &[Spanned<'_>]) {
        let mut at = 0;
        while let Some((token, open)) = tokens.get(at) {
            let closes: fn(&Token<'_>) -> bool = match token {
                Token::TemplateData(text) => {
                    self.text(text);
                    at += 1;
                    continue;
                }
                Token::VariableStart => |token| matches!(token, Token::VariableEnd),
                _ => |token| matches!(token, Token::BlockEnd),
            };
            let Some(end) = tokens[at..].iter().position(|(token, _)| closes(token)) else {
                self.faithful = false;
                return;
            };
            let (inner, close) = (&tokens[at + 1..at + end], &tokens[at + end].1);
            let body = open.end_offset as usize..close.start_offset as usize;
            self.check_names(inner);
            if matches!(token, Token::VariableStart) {
                self.value(inner, body, open.start_offset as usize..close.end_offset as usize);
            } else {
                self.statement(inner, body);
            }
            at += end + 1;
        }
    }

    /// Copies a stretch of the body.
    fn copy(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        self.copies.push((self.out.len(), self.base + range.start..self.base + range.end));
        self.out.push_str(&self.body[range]);
    }

    /// Copies a text, each line with a mark; a captured one is counted instead.
    fn text(&mut self, text: &str) {
        let mut from = text.as_ptr() as usize - self.body.as_ptr() as usize;
        let end = from + text.len();
        let first = self.left_out.partition_point(|gap| gap.end <= from);
        for gap in self.left_out[first..].iter().take_while(|gap| gap.start < end) {
            self.kept(from..gap.start.max(from));
            from = gap.end.min(end);
        }
        self.kept(from..end);
    }

    fn kept(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let body = self.body;
        let text = &body[range.clone()];
        if !self.captured.is_empty() {
            self.out.push_str(&format!("{{{{__count({})}}}}", text.len()));
        }
        // What looks like a tag was inside a raw block; a last brace could become one with what follows.
        let raw = text.contains("{{") || text.contains("{%") || text.ends_with('{');
        if raw {
            self.out.push_str("{% raw %}");
        }
        let mut from = range.start;
        for line in text.split_inclusive('\n') {
            if self.captured.is_empty() {
                reserved::push_mark(&mut self.out, number(self.marks.len()));
                self.marks.push(self.base + from);
            }
            self.copy(from..from + line.len());
            from += line.len();
        }
        if raw {
            self.out.push_str("{% endraw %}");
        }
    }

    /// A `{{ }}` tag: its tokens, and where its inside and the whole of it stand.
    fn value(&mut self, tokens: &[Spanned<'_>], body: Range<usize>, whole: Range<usize>) {
        self.out.push_str("{{ ");
        self.faithful &= is_one(tokens);
        let close = if is_recursion(tokens) {
            // It writes its turns directly, so there is no value to wrap; the tags inside have their own.
            ""
        } else if self.captured.is_empty() {
            self.out.push_str(&format!("__e({},(", self.tags.len()));
            self.tags.push(Tag {
                start: self.base + whole.start,
                end: self.base + whole.end,
                expression: Expression::new(tokens, self.base),
            });
            "))"
        } else {
            self.out.push_str("__text((");
            "))"
        };
        self.inside(tokens, body);
        self.out.push_str(close);
        self.out.push_str(" }}");
    }

    /// Copies the inside of a tag. Each `module(` in it gets its number, and `vars` the one of its region.
    fn inside(&mut self, tokens: &[Spanned<'_>], body: Range<usize>) {
        let offset = self.base + body.start;
        let after = self.regions.partition_point(|region| region.end <= offset);
        let region = self.regions.get(after).filter(|region| region.contains(&offset)).map(|_| after);
        // Stretches, and what takes their place; what only adds something has no length, and stands before what
        // follows. At one place a key comes first, then the number of a call, then what bounds an operation.
        let mut edits: Vec<Edit> = Vec::new();
        for key in keys(tokens) {
            // What stands in a call may mean more there than by itself.
            self.faithful = false;
            edits.push((key.start..key.start, "__k(".to_owned()));
            edits.push((key.end..key.end, ")".to_owned()));
        }
        for at in (0..tokens.len()).filter(|at| !follows_dot(tokens, *at)) {
            match (&tokens[at..], region) {
                ([(Token::Ident("module"), name), (Token::ParenOpen, open), ..], _) => {
                    let inside = open.end_offset as usize;
                    edits.push((inside..inside, format!("{},", self.calls.len())));
                    let close = closing(tokens, at + 1).unwrap_or(tokens.len() - 1);
                    self.calls.push(Call {
                        start: self.base + name.start_offset as usize,
                        end: self.base + tokens[close].1.end_offset as usize,
                        arguments: arguments(tokens.get(at + 2..close).unwrap_or_default(), self.base),
                    });
                }
                ([(Token::Ident("vars"), _), (Token::Assign, _), ..], _) => {}
                ([(Token::Ident("vars"), name), ..], Some(region)) => {
                    edits.push((name.start_offset as usize..name.end_offset as usize, format!("{VARS}{region}")));
                }
                _ => {}
            }
        }
        let first = self.growth.partition_point(|(range, _)| range.start < body.start);
        edits.extend(self.growth[first..].iter().take_while(|(range, _)| range.start <= body.end).cloned());
        edits.sort_by_key(|(range, _)| (range.start, range.end));
        let mut from = body.start;
        for (range, text) in edits {
            self.copy(from..range.start);
            from = range.end;
            self.out.push_str(&text);
        }
        self.copy(from..body.end);
    }

    /// A `{% %}` tag: its tokens, and where its inside stands.
    fn statement(&mut self, tokens: &[Spanned<'_>], body: Range<usize>) {
        let Some((Token::Ident(word), span)) = tokens.first() else {
            self.faithful = false;
            return;
        };
        let at = (self.base + span.start_offset as usize, self.base + span.end_offset as usize);
        if let Some(hint) = refused(word) {
            self.refuse(at, format!("`{{% {word} %}}` is not part of the template language here"), hint);
            return;
        }
        let open = match *word {
            "set" if !has_assignment(tokens) => Some("set"),
            "macro" => Some("macro"),
            "call" => Some("call"),
            "filter" => Some("filter"),
            _ => None,
        };
        if let Some(outer) = self.captured.last()
            && let Some(word @ ("call" | "filter")) = open
        {
            let message = format!("`{{% {word} %}}` can't stand inside `{{% {outer} %}}`");
            self.refuse(at, message, "what it yields would be lost; use a filter in a tag, or a module");
        }
        self.captured.extend(open);
        if matches!(*word, "endset" | "endmacro" | "endcall" | "endfilter") {
            self.captured.pop();
        }
        if open.is_some() || matches!(*word, "if" | "for" | "with") {
            self.open.push((Box::from(*word), at.0..at.1));
        } else if word.starts_with("end")
            && let Some((_, start)) = self.open.pop()
        {
            let (start, end) = (self.file.position(start.start), self.file.position(at.0));
            let ended = self.items.values_mut().flatten().filter(|item| item.range.start == start);
            ended.for_each(|item| item.range.end = end);
        }
        self.assign(word, &tokens[1..]);
        if *word == "for" {
            for (name, item) in items(&tokens[1..], self.file.position(at.0)) {
                self.items.entry(name).or_default().push(item);
            }
        }
        if let Some(evaluated) = evaluated(word, &tokens[1..]) {
            let expression = Expression::new(evaluated, self.base);
            let (start, end) = (self.base + body.start, self.base + body.end);
            self.statements.push(Tag { start, end, expression });
        }
        self.out.push_str("{% ");
        self.inside(tokens, body);
        self.out.push_str(" %}");
    }

    /// Notes the names that a statement gives a value.
    fn assign(&mut self, word: &str, tokens: &[Spanned<'_>]) {
        let stop: fn(&Token<'_>) -> bool = match word {
            "for" => |token| matches!(token, Token::Ident("in")),
            "set" => |token| matches!(token, Token::Assign | Token::Pipe),
            "macro" | "call" => |_| false,
            "with" => {
                let named = tokens.windows(2).filter(|pair| matches!(pair[1].0, Token::Assign));
                self.assigned.extend(named.filter_map(|pair| identifier(&pair[0].0)));
                for (name, expression) in arguments(tokens, self.base) {
                    self.made_of(name, &expression.reads);
                }
                return;
            }
            _ => return,
        };
        let names = tokens.iter().map(|(token, _)| token).take_while(|token| !stop(token));
        let names: Vec<Box<str>> = names.filter_map(identifier).collect();
        if matches!(word, "for" | "set")
            && let Some(behind) = tokens.iter().position(|(token, _)| stop(token))
        {
            let reads = Expression::new(&tokens[behind + 1..], self.base).reads;
            names.iter().for_each(|name| self.made_of(name.clone(), &reads));
        }
        self.assigned.extend(names);
    }

    /// Notes what a name is made of.
    fn made_of(&mut self, name: Box<str>, reads: &[Path]) {
        let known = self.sources.entry(name).or_default();
        for path in reads {
            if known.len() < MAX_SOURCES && !known.contains(path) {
                known.push(path.clone());
            }
        }
    }

    fn check_names(&mut self, tokens: &[Spanned<'_>]) {
        for (at, (token, span)) in tokens.iter().enumerate() {
            let place = (self.base + span.start_offset as usize, self.base + span.end_offset as usize);
            match token {
                Token::Ident(name) if name.starts_with("__") => {
                    let message = format!("`{name}` can't be used: names that start with `__` are the renderer's own");
                    self.refuse(place, message, "choose another name");
                }
                Token::Ident("loop")
                    if matches!(tokens.get(at + 1), Some((Token::ParenOpen, _)))
                        && !follows_dot(tokens, at)
                        && !is_recursion(tokens) =>
                {
                    let hint = "write `{{ loop(items) }}`; what a turn of a loop yields can't be changed afterwards";
                    self.refuse(place, "`loop(...)` has to stand alone in its tag".to_owned(), hint);
                }
                // What a key is that is made by an expression, `__k` sees.
                Token::Ident(word @ ("true" | "false" | "True" | "False")) if is_key(tokens, at) => {
                    let message = format!("`{word}` can't be a key of a mapping in a template");
                    self.refuse(place, message, &format!("put it in quotes: `\"{word}\"`"));
                }
                _ => {}
            }
        }
    }

    fn refuse(&mut self, (start, end): (usize, usize), message: String, hint: &str) {
        let finding = Diagnostic::error(Code::RefusedStatement, message);
        self.findings.push(finding.at(self.file.place(start, end)).hint(hint));
    }
}

fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX).min(reserved::NUMBERS - 1)
}

fn identifier(token: &Token<'_>) -> Option<Box<str>> {
    match token {
        Token::Ident(name) => Some(Box::from(*name)),
        _ => None,
    }
}

/// Whether a tag is `loop(...)` and nothing else, which the engine writes out directly.
fn is_recursion(tokens: &[Spanned<'_>]) -> bool {
    matches!(tokens, [(Token::Ident("loop"), _), (Token::ParenOpen, _), ..])
        && closing(tokens, 1) == Some(tokens.len() - 1)
}

/// Whether a token is the whole key of an entry of a mapping, in parentheses or without.
fn is_key(tokens: &[Spanned<'_>], at: usize) -> bool {
    let before = tokens[..at].iter().rposition(|(token, _)| !matches!(token, Token::ParenOpen));
    let Some(before) = before else { return false };
    let parens = at - before - 1;
    let closed = tokens[at + 1..].iter().take_while(|(token, _)| matches!(token, Token::ParenClose)).count();
    let opens = match tokens[before].0 {
        Token::BraceOpen => true,
        Token::Comma => encloser(&tokens[..before]) == Some(true),
        _ => false,
    };
    opens && closed == parens && matches!(tokens.get(at + 1 + closed), Some((Token::Colon, _)))
}

/// The keys of mappings that are more than a word in quotes or a number, and where they stand.
fn keys(tokens: &[Spanned<'_>]) -> Vec<Range<usize>> {
    // For each open bracket whether it is a brace, and where the key starts that it awaits.
    let mut open: Vec<(bool, Option<usize>)> = Vec::new();
    let mut found = Vec::new();
    for (at, (token, _)) in tokens.iter().enumerate() {
        match token {
            Token::BraceOpen => open.push((true, Some(at + 1))),
            Token::ParenOpen | Token::BracketOpen => open.push((false, None)),
            Token::ParenClose | Token::BracketClose | Token::BraceClose => drop(open.pop()),
            Token::Comma => {
                if let Some((true, awaits)) = open.last_mut() {
                    *awaits = Some(at + 1);
                }
            }
            Token::Colon => {
                let awaited = open.last_mut().and_then(|(_, awaits)| awaits.take());
                let Some(start) = awaited.filter(|start| *start < at) else { continue };
                let plain = matches!(tokens[start].0, Token::Str(_) | Token::String(_) | Token::Int(_));
                if !(plain && start + 1 == at) {
                    found.push(tokens[start].1.start_offset as usize..tokens[at - 1].1.end_offset as usize);
                }
            }
            _ => {}
        }
    }
    found
}

/// Whether the innermost bracket that is open at the end of the tokens is a brace; nothing if none is.
fn encloser(tokens: &[Spanned<'_>]) -> Option<bool> {
    let mut depth = 0;
    for (token, _) in tokens.iter().rev() {
        depth += nesting(token);
        if depth > 0 {
            return Some(matches!(token, Token::BraceOpen));
        }
    }
    None
}

/// Where the bracket that opens at `open` closes.
fn closing(tokens: &[Spanned<'_>], open: usize) -> Option<usize> {
    let mut depth = 0i32;
    for (at, (token, _)) in tokens.iter().enumerate().skip(open) {
        depth += nesting(token);
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Whether tokens stay what they are when they are put into parentheses: something, brackets that match, and no comma
/// outside of them, which would make a list.
fn is_one(tokens: &[Spanned<'_>]) -> bool {
    let mut open = Vec::new();
    for (token, _) in tokens {
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => open.push(token),
            Token::ParenClose if !matches!(open.pop(), Some(Token::ParenOpen)) => return false,
            Token::BracketClose if !matches!(open.pop(), Some(Token::BracketOpen)) => return false,
            Token::BraceClose if !matches!(open.pop(), Some(Token::BraceOpen)) => return false,
            Token::Comma if open.is_empty() => return false,
            _ => {}
        }
    }
    open.is_empty() && !tokens.is_empty()
}

fn nesting(token: &Token<'_>) -> i32 {
    match token {
        Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => 1,
        Token::ParenClose | Token::BracketClose | Token::BraceClose => -1,
        _ => 0,
    }
}

/// Whether a `set` has a `=` outside of brackets; without it, it captures what follows.
fn has_assignment(tokens: &[Spanned<'_>]) -> bool {
    let mut depth = 0;
    tokens.iter().any(|(token, _)| {
        depth += nesting(token);
        depth == 0 && matches!(token, Token::Assign)
    })
}

/// The keyword arguments among the tokens between a call's parentheses.
fn arguments(tokens: &[Spanned<'_>], base: usize) -> Vec<(Box<str>, Expression)> {
    let mut depth = 0;
    let mut found = Vec::new();
    for part in tokens.split(|(token, _)| {
        depth += nesting(token);
        depth == 0 && matches!(token, Token::Comma)
    }) {
        if let [(Token::Ident(name), _), (Token::Assign, _), value @ ..] = part {
            found.push((Box::from(*name), Expression::new(value, base)));
        }
    }
    found
}

/// What a statement evaluates, of the tokens behind its word.
fn evaluated<'t, 'a>(word: &str, tokens: &'t [Spanned<'a>]) -> Option<&'t [Spanned<'a>]> {
    let behind = |found: fn(&Token<'_>) -> bool| {
        let at = tokens.iter().position(|(token, _)| found(token))?;
        tokens.get(at + 1..)
    };
    match word {
        "for" => behind(|token| matches!(token, Token::Ident("in"))),
        "set" => behind(|token| matches!(token, Token::Assign | Token::Pipe)),
        "if" | "elif" | "with" | "filter" | "call" | "do" => Some(tokens),
        _ => None,
    }
}

fn refused(word: &str) -> Option<&'static str> {
    Some(match word {
        "include" | "import" | "from" => "call a module instead: `{{ module(\"name\", key=value) }}`",
        "extends" | "block" => "there is no inheritance between files; call a module, and hand it what differs",
        "break" | "continue" => "filter the list: `{% for item in items if item.on %}`",
        "autoescape" => "leave it out: values are placed as values, so nothing has to be escaped",
        _ => return None,
    })
}
