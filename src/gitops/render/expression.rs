//! What can be known of a template expression without running it: the names it reads, and whether it is
//! nothing but a name. From this a value's origin is found.

use std::ops::Range;

use minijinja::machinery::{Span, Token};

/// One token of a tag.
pub(super) type Spanned<'a> = (Token<'a>, Span);

/// A name and the steps below it: `vars.image.tag`.
pub(super) type Path = Box<[Box<str>]>;

/// An expression in a tag or an argument.
#[derive(Debug, Default)]
pub(super) struct Expression {
    /// Where it stands in the file, in bytes.
    pub(super) range: Range<usize>,
    /// The names it reads.
    pub(super) reads: Vec<Path>,
    /// Whether it is one name and nothing else, so that its value is the name's value unchanged.
    pub(super) bare: bool,
    /// Whether it calls a module.
    pub(super) calls_module: bool,
    /// Whether it reads a file.
    pub(super) reads_file: bool,
    /// The filter that is applied last, if it turns values into text that an author often means as a value.
    pub(super) textual: Option<&'static str>,
}

impl Expression {
    /// Looks at the tokens of an expression; `base` is the file offset that the tokens' offsets start at.
    pub(super) fn new(tokens: &[Spanned<'_>], base: usize) -> Self {
        let range = match (tokens.first(), tokens.last()) {
            (Some((_, first)), Some((_, last))) => base + first.start_offset as usize..base + last.end_offset as usize,
            _ => base..base,
        };
        let (reads, bare) = reads(tokens);
        let calls = |function: &str| {
            tokens.windows(2).enumerate().any(|(at, pair)| {
                matches!(pair, [(Token::Ident(name), _), (Token::ParenOpen, _)] if *name == function)
                    && !follows_dot(tokens, at)
            })
        };
        let (calls_module, reads_file) = (calls("module"), calls("file"));
        Self { range, reads, bare, calls_module, reads_file, textual: textual(tokens) }
    }
}

/// Whether the token at `at` stands behind a dot, and so is an attribute.
pub(super) fn follows_dot(tokens: &[Spanned<'_>], at: usize) -> bool {
    at > 0 && matches!(tokens[at - 1].0, Token::Dot)
}

const WORDS: [&str; 12] = ["true", "false", "none", "True", "False", "None", "and", "or", "not", "in", "if", "else"];

fn reads(tokens: &[Spanned<'_>]) -> (Vec<Path>, bool) {
    let mut reads = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let Token::Ident(name) = tokens[at].0 else {
            // `is` and `|` are followed by the name of a test or filter.
            at += if matches!(tokens[at].0, Token::Pipe) { 2 } else { 1 };
            continue;
        };
        let called = matches!(tokens.get(at + 1), Some((Token::ParenOpen, _)));
        let keyword_argument = matches!(tokens.get(at + 1), Some((Token::Assign, _)));
        if name == "is" {
            at += if matches!(tokens.get(at + 1), Some((Token::Ident("not"), _))) { 3 } else { 2 };
        } else if WORDS.contains(&name) || follows_dot(tokens, at) || called || keyword_argument {
            at += 1;
        } else {
            let (path, next) = path(name, tokens, at + 1);
            reads.push(path);
            if at == 0 && next == tokens.len() {
                return (reads, true);
            }
            at = next;
        }
    }
    (reads, false)
}

/// The steps that follow a name, as far as they are literal, and where they end.
pub(super) fn path(name: &str, tokens: &[Spanned<'_>], mut at: usize) -> (Path, usize) {
    let mut steps = vec![Box::from(name)];
    loop {
        match &tokens[at..] {
            [(Token::Dot, _), (Token::Ident(_), _), (Token::ParenOpen, _), ..] => break,
            [(Token::Dot, _), (Token::Ident(step), _), ..] => {
                steps.push(Box::from(*step));
                at += 2;
            }
            [(Token::Dot, _), (Token::Int(index), _), ..] => {
                steps.push(index.to_string().into());
                at += 2;
            }
            [(Token::BracketOpen, _), (step, _), (Token::BracketClose, _), ..] => {
                steps.push(match step {
                    Token::Str(step) => Box::from(*step),
                    Token::String(step) => step.clone(),
                    Token::Int(index) => index.to_string().into(),
                    _ => break,
                });
                at += 3;
            }
            _ => break,
        }
    }
    (steps.into(), at)
}

fn textual(tokens: &[Spanned<'_>]) -> Option<&'static str> {
    let pipe = tokens.iter().rposition(|(token, _)| matches!(token, Token::Pipe))?;
    let Some((Token::Ident(name), _)) = tokens.get(pipe + 1) else { return None };
    let ends = tokens.len() == pipe + 2 || matches!(tokens.last(), Some((Token::ParenClose, _)));
    ["tojson", "indent"].into_iter().find(|filter| filter == name && ends)
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::machinery::tokenize;

    fn look(text: &str) -> Expression {
        let tokens: Vec<_> =
            tokenize(text, true, minijinja::syntax::SyntaxConfig::default()).map(|token| token.expect(text)).collect();
        Expression::new(&tokens, 100)
    }

    #[test]
    fn names_are_found_and_words_of_the_language_are_not() {
        for (text, names, bare) in [
            ("image", "image", true),
            ("vars.image.tag", "vars.image.tag", true),
            ("vars['a-b'].x[0]", "vars.a-b.x.0", true),
            ("a.b ~ f(c)|d(e)", "a.b c e", false),
            ("x|default('y')", "x", false),
            ("x if y is not defined else [z, none]", "x y z", false),
            ("module('m', k=v.w, l=1)", "v.w", false),
            ("a.upper()", "a", false),
            ("a[b]", "a b", false),
            ("{'k': v}", "v", false),
            ("-a", "a", false),
            ("'text'", "", false),
        ] {
            let found = look(text);
            let reads: Vec<String> = found.reads.iter().map(|path| path.join(".")).collect();
            assert_eq!((reads.join(" "), found.bare), (names.to_owned(), bare), "{text}");
        }
    }

    #[test]
    fn module_calls_and_text_filters_are_seen() {
        assert!(look("module('a') if x").calls_module);
        assert!(!look("a.module('a')").calls_module);
        assert_eq!(look("env|tojson").textual, Some("tojson"));
        assert_eq!(look("env|indent(2)").textual, Some("indent"));
        assert_eq!(look("env|tojson|upper").textual, None);
        assert_eq!(look("a ~ b").range, 100..105);
    }
}
