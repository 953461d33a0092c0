//! Texts with `${ }` in them.

use std::ops::Range;

use serde_json::Value;

use super::lex::{Piece, pieces};
use super::{Expression, ExpressionError, Reference, Scope};
use crate::model::SecretName;

/// The longest text that a template may yield, in bytes.
const MAX_TEXT: usize = 1 << 20;

/// A text in which each `${ expression }` stands for a value; `$${` is a literal `${`.
#[derive(Debug, Clone)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    /// An expression, and the place of its first character in the whole text.
    Expression(Expression, usize),
}

/// Whether a text holds a `${`, escaped or not: if it doesn't, it stands for itself.
pub fn has_expression(text: &str) -> bool {
    text.contains("${")
}

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// If a `${` has no end, or what it holds is not an expression; the offset counts from the text's start.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(found) = rest.find("${") {
            let (before, tail) = rest.split_at(found);
            if let Some(before) = before.strip_suffix('$') {
                plain.push_str(before);
                plain.push_str("${");
                rest = &tail[2..];
                continue;
            }
            plain.push_str(before);
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            let opening = text.len() - tail.len();
            let (part, length) = expression(&tail[2..], text[..opening].chars().count() + 2)?;
            parts.push(part);
            rest = &tail[2 + length..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// The expressions, each with the place of its first character in the text, in characters.
    pub fn expressions(&self) -> impl Iterator<Item = (&Expression, usize)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Expression(expression, offset) => Some((expression, *offset)),
            Part::Text(_) => None,
        })
    }

    /// The expression, if the text is one and nothing else.
    pub fn as_single(&self) -> Option<&Expression> {
        match self.parts.as_slice() {
            [Part::Expression(expression, _)] => Some(expression),
            _ => None,
        }
    }

    /// What the expressions refer to; offsets count from the start of the text.
    pub fn references(&self) -> Vec<Reference> {
        let shift = |reference: &Reference, by: usize| Reference {
            path: reference.path.clone(),
            offset: reference.offset + by,
        };
        self.expressions()
            .flat_map(|(expression, by)| expression.references().iter().map(move |reference| shift(reference, by)))
            .collect()
    }

    /// The text with all expressions replaced; the typed value itself, if the text is one expression and
    /// nothing else. In a text, lists and mappings become JSON, and null becomes nothing.
    ///
    /// # Errors
    /// If an expression fails, or the text gets longer than 1 MiB; the offset counts from the template's start.
    pub fn evaluate(&self, scope: &Scope) -> Result<Value, ExpressionError> {
        self.evaluate_to(scope, &mut None)
    }

    /// As [`Self::evaluate`], where secrets may be named: each leaves a reference in the text, and its name and place
    /// in bytes in `secrets`.
    pub(super) fn evaluate_with_secrets(
        &self,
        scope: &Scope,
        secrets: &mut Vec<(SecretName, Range<usize>)>,
    ) -> Result<Value, ExpressionError> {
        let mut found = Some(Vec::new());
        let value = self.evaluate_to(scope, &mut found)?;
        secrets.extend(found.into_iter().flatten());
        Ok(value)
    }

    fn evaluate_to(
        &self,
        scope: &Scope,
        secrets: &mut Option<Vec<(SecretName, Range<usize>)>>,
    ) -> Result<Value, ExpressionError> {
        let run = |expression: &Expression, at: usize| expression.evaluate(scope).map_err(|error| error.moved(at));
        if let [Part::Expression(expression, at)] = self.parts.as_slice()
            && expression.secret().is_none()
        {
            return run(expression, *at);
        }
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Expression(expression, at) => match (expression.secret(), secrets.as_mut()) {
                    (Some(name), Some(secrets)) => {
                        let start = text.len();
                        text.push_str(&name.reference());
                        secrets.push((name.clone(), start..text.len()));
                    }
                    _ => match run(expression, *at)? {
                        Value::Null => {}
                        Value::String(value) => text.push_str(&value),
                        value => text.push_str(&value.to_string()),
                    },
                },
            }
            if text.len() > MAX_TEXT {
                return Err(ExpressionError::new(format!("the text gets longer than {MAX_TEXT} bytes"), 0));
            }
        }
        Ok(Value::String(text))
    }
}

/// The expression that `tail` starts with, behind its `${`, and its length with the closing brace; `at` is its
/// place in the whole text.
fn expression(tail: &str, at: usize) -> Result<(Part, usize), ExpressionError> {
    const LITERAL: &str = "write `$${` for a literal `${`";
    let mut depth = 0_usize;
    for (piece, start, _) in pieces(tail) {
        match piece {
            Piece::Open => depth += 1,
            Piece::Close('}') if depth == 0 => {
                let inner = &tail[..start];
                let body = inner.trim();
                let at = at + inner.chars().take_while(|letter| letter.is_whitespace()).count();
                let shift = |mut error: ExpressionError| {
                    error.hint = error.hint.or_else(|| looks_like_shell(body).then(|| LITERAL.to_owned()));
                    error.moved(at)
                };
                return Ok((Part::Expression(Expression::parse(body).map_err(shift)?, at), start + 1));
            }
            Piece::Close(_) => depth = depth.saturating_sub(1),
            Piece::Unclosed => {
                let offset = at + tail[..start].chars().count();
                return Err(ExpressionError::new("this text literal has no end", offset).hint(LITERAL.to_owned()));
            }
            Piece::Literal | Piece::Word | Piece::Space | Piece::Other(_) => {}
        }
    }
    Err(ExpressionError::new("this `${` has no `}`", at.saturating_sub(2)).hint(format!("close it, or {LITERAL}")))
}

/// Whether an expression that can't be read is a shell's: `${VAR:-default}`, `${VAR%.*}`, `${#VAR}`.
fn looks_like_shell(body: &str) -> bool {
    let name = body.trim_start_matches(['#', '!']);
    let end = name.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(name.len());
    let rest = &name[end..];
    end > 0 && (rest.is_empty() || rest.starts_with([':', '%', '#', '/', '-', '^', ',', '@', '+', '=', '?', '*']))
}
