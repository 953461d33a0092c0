//! Reading an expression: limits first, then CEL's parser, then errors in words for people.

use std::sync::Arc;

use cel::IdedExpr;

use super::lex::{Piece, pieces};
use super::reference::{Found, NamedCall, Reference};
use super::{ExpressionError, budget, cache, language, reference, syntax_error};
use crate::model::SecretName;

/// The deepest nesting of brackets.
const MAX_NESTING: usize = 32;
/// The most operators, member accesses and brackets. CEL's parser and interpreter recurse once for each.
const MAX_OPERATORS: usize = 256;
/// Up to this nesting, this many operators and this depth of the syntax tree, the caller's stack is enough even for an unoptimised
/// build (measured: 150 KB for a bracket while parsing, 50 KB for a level of the tree while evaluating).
const SHALLOW_NESTING: usize = 2;
const FEW_OPERATORS: usize = 24;
const SHALLOW_TREE: usize = 8;
/// What deeper expressions get, on a thread of their own: `MAX_NESTING` and `MAX_OPERATORS` times the above.
const DEEP_STACK: usize = 32 << 20;

/// A parsed expression; cheap to clone.
#[derive(Debug, Clone)]
pub struct Expression(Arc<Parsed>);

#[derive(Debug)]
struct Parsed {
    text: String,
    body: Body,
    references: Vec<Reference>,
    calls: Vec<NamedCall>,
    /// The stages that its calls look for, if all of them say so.
    looks_up: LooksUp,
}

/// What the calls of an expression look for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum LooksUp {
    /// Nothing.
    #[default]
    Nothing,
    /// The stages of [`Expression::calls`], and artifacts.
    Named,
    /// Any stage: a name is computed.
    Any,
}

/// What is evaluated.
#[derive(Debug)]
pub(super) enum Body {
    /// A variable and the keys below it: by far the most frequent expression, and evaluated without CEL.
    Path(Vec<String>),
    /// `secret("name")`: yields no value, see [`Expression::secret`].
    Secret(SecretName),
    /// Anything else.
    Cel {
        /// The syntax tree, with calls that count the work (see [`budget`]).
        tree: IdedExpr,
        /// Whether evaluating it needs a larger stack.
        deep: bool,
    },
}

impl Expression {
    /// The longest expression, in bytes.
    pub const MAX_LENGTH: usize = 4096;

    /// Reads an expression, without `${ }` around it.
    ///
    /// # Errors
    /// If the text is not an expression, calls a function that doesn't exist, is too long, or nests too deeply.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        if text.trim().is_empty() {
            return Err(ExpressionError::new("the expression is empty", 0));
        }
        if text.len() > Self::MAX_LENGTH {
            let message = format!("the expression is longer than {} bytes", Self::MAX_LENGTH);
            return Err(ExpressionError::new(message, 0));
        }
        let parsed = |body, found: Found| {
            let Found { references, calls, looks_up } = found;
            Self(Arc::new(Parsed { text: text.to_owned(), body, references, calls, looks_up }))
        };
        if let Some((path, offset)) = plain_path(text) {
            let references = vec![Reference { path: path.clone(), offset }];
            let found = Found { references, ..Found::default() };
            return Ok(parsed(Body::Path(path), found));
        }
        if let Some(known) = cache::find(text) {
            return Ok(known);
        }
        let (body, found) = compile(text)?;
        let expression = parsed(body, found);
        cache::keep(&expression);
        Ok(expression)
    }

    /// The text that was read.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// What the expression refers to, as far as that can be told without running it. Variables that the
    /// expression itself introduces (in `all`, `map` and their like) are left out.
    pub fn references(&self) -> &[Reference] {
        &self.0.references
    }

    /// Calls of functions that look something up by a name that is written out: `stage("build").outputs`.
    pub fn calls(&self) -> &[NamedCall] {
        &self.0.calls
    }

    pub(super) fn looks_up(&self) -> LooksUp {
        self.0.looks_up
    }

    /// Keys that hold a `-` and stand without quotes, each with the path before it: of `stages.a-b.x`,
    /// `(["stages"], "a-b")`. The expression subtracts there, which is seldom what its author meant.
    pub fn hyphenated(&self) -> Vec<(Vec<String>, String)> {
        match self.0.body {
            Body::Path(_) | Body::Secret(_) => Vec::new(),
            Body::Cel { .. } => syntax_error::hyphenated(self.text()),
        }
    }

    /// The secret that the expression names, if it is `secret("name")`. That is read off the author's text, never
    /// off a value, and such an expression is never evaluated: [`super::resolve_with_secrets`] puts a reference in its
    /// place where the author's format allows it, and everywhere else it is an error.
    pub fn secret(&self) -> Option<&SecretName> {
        match &self.0.body {
            Body::Secret(name) => Some(name),
            Body::Path(_) | Body::Cel { .. } => None,
        }
    }

    pub(super) fn body(&self) -> &Body {
        &self.0.body
    }
}

/// Reads `variable.key["key"]`.
fn plain_path(text: &str) -> Option<(Vec<String>, usize)> {
    let trimmed = text.trim();
    let offset = text.chars().take_while(|letter| letter.is_whitespace()).count();
    let mut path = Vec::new();
    let mut rest = trimmed;
    loop {
        let length = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
        let (word, tail) = rest.split_at(length);
        if word.is_empty() || word.starts_with(|letter: char| letter.is_ascii_digit()) || language::is_reserved(word) {
            return None;
        }
        path.push(word.to_owned());
        rest = tail;
        while let Some(inside) = rest.strip_prefix('[') {
            let quote = inside.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
            let (key, tail) = inside[1..].split_once(quote)?;
            if key.contains(['\\', '\n', '\r']) || key.is_empty() && tail.starts_with(quote) {
                return None;
            }
            path.push(key.to_owned());
            rest = tail.strip_prefix(']')?;
        }
        match rest.strip_prefix('.') {
            Some(tail) => rest = tail,
            None if rest.is_empty() => return Some((path, offset)),
            None => return None,
        }
    }
}

fn compile(text: &str) -> Result<(Body, Found), ExpressionError> {
    let (nesting, operators) = weigh(text)?;
    with_stack(nesting > SHALLOW_NESTING || operators > FEW_OPERATORS, || {
        let (tree, source) = language::parser()
            .parse_with_source_info(text)
            .map_err(|errors| syntax_error::for_people(text, &errors))?;
        if let Some(name) = reference::secret(&tree) {
            return Ok((Body::Secret(name?), Found::default()));
        }
        let found = reference::collect(text, &tree, &source)?;
        let tree = budget::count_work(tree);
        let deep = reference::depth(&tree) > SHALLOW_TREE;
        Ok((Body::Cel { tree, deep }, found))
    })
}

/// Runs `work`, on a thread with a large stack if it is `deep`.
pub(super) fn with_stack<T: Send>(
    deep: bool,
    work: impl FnOnce() -> Result<T, ExpressionError> + Send,
) -> Result<T, ExpressionError> {
    if !deep {
        return work();
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("expression".to_owned()).stack_size(DEEP_STACK);
        let refuse = || ExpressionError::new("the expression can't be read: no memory for a thread", 0);
        let result = thread.spawn_scoped(scope, work).map_err(|_| refuse())?.join();
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// How deep the brackets nest, and how many operators, member accesses and brackets there are.
fn weigh(text: &str) -> Result<(usize, usize), ExpressionError> {
    let (mut depth, mut deepest, mut operators) = (0_usize, 0, 0);
    for (piece, start, _) in pieces(text) {
        let offset = || text[..start].chars().count();
        match piece {
            Piece::Open => {
                depth += 1;
                deepest = deepest.max(depth);
                operators += 1;
            }
            Piece::Close(_) => depth = depth.saturating_sub(1),
            Piece::Other(',' | ':') | Piece::Space | Piece::Word | Piece::Literal => {}
            Piece::Other(_) => operators += 1,
            Piece::Unclosed => return Err(ExpressionError::new("this text literal has no end", offset())),
        }
        if deepest > MAX_NESTING {
            let message = format!("the expression nests more than {MAX_NESTING} brackets");
            return Err(ExpressionError::new(message, offset()));
        }
        if operators > MAX_OPERATORS {
            let message = format!("the expression has more than {MAX_OPERATORS} operators and brackets");
            return Err(ExpressionError::new(message, offset()));
        }
    }
    Ok((deepest, operators))
}
