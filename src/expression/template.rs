//! Texts with `${ }` in them.

use serde_json::Value;

use super::{Expression, ExpressionError, Scope};

/// A text in which each `${ expression }` stands for a value; `$${` is a literal `${`.
#[derive(Debug, Clone)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    /// With the characters before the expression's own text.
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
        let mut at = 0;
        while let Some(found) = text[at..].find("${") {
            let start = at + found;
            if text[at..start].ends_with('$') {
                plain.push_str(&text[at..start - 1]);
                plain.push_str("${");
                at = start + 2;
                continue;
            }
            plain.push_str(&text[at..start]);
            let body = start + 2;
            let before = text[..body].chars().count();
            let Some(length) = body_length(&text[body..]) else {
                return Err(ExpressionError::new("a `${` has no `}`", before.saturating_sub(2))
                    .hint("close it, or write `$${` for a literal `${`"));
            };
            let inner = &text[body..body + length];
            let shift = before + inner.chars().take_while(|letter| letter.is_whitespace()).count();
            let expression = Expression::parse(inner.trim())
                .map_err(|error| ExpressionError { offset: error.offset + shift, ..error })?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Expression(expression, shift));
            at = body + length + 1;
        }
        plain.push_str(&text[at..]);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// The expressions, each with the offset of its first character in the text.
    pub fn expressions(&self) -> impl Iterator<Item = (&Expression, usize)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Expression(expression, offset) => Some((expression, *offset)),
            Part::Text(_) => None,
        })
    }

    /// The text with all expressions replaced; the typed value itself, if the text is one expression and
    /// nothing else. In a text, lists and mappings become JSON, and null becomes nothing.
    ///
    /// # Errors
    /// If an expression fails; the offset counts from the template's start.
    pub fn evaluate(&self, scope: &Scope) -> Result<Value, ExpressionError> {
        let run = |expression: &Expression, shift: usize| {
            expression.evaluate(scope).map_err(|error| ExpressionError { offset: error.offset + shift, ..error })
        };
        if let [Part::Expression(expression, shift)] = self.parts.as_slice() {
            return run(expression, *shift);
        }
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Expression(expression, shift) => match run(expression, *shift)? {
                    Value::Null => {}
                    Value::String(value) => text.push_str(&value),
                    value => text.push_str(&value.to_string()),
                },
            }
        }
        Ok(Value::String(text))
    }
}

/// The length of the expression at the start of `text`, up to the `}` that closes it.
fn body_length(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut rest = text.char_indices();
    while let Some((at, letter)) = rest.next() {
        match letter {
            '{' | '[' | '(' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            '"' | '\'' => {
                while let Some((_, inner)) = rest.next() {
                    match inner {
                        '\\' => drop(rest.next()),
                        _ if inner == letter => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    None
}
