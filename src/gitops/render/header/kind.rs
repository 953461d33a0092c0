//! The types that parameters can have.

use super::super::scalar;
use crate::expression::{Expression, Template, has_expression};
use crate::gitops::{Node, NodeValue};

/// The type of a parameter, by its name in headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any finite number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    List,
    /// A mapping.
    Object,
    /// One of its options.
    Enum,
    /// A text that names a secret: `${ secret("name") }`.
    Secret,
}

impl ParameterKind {
    /// All of them, by their names.
    pub(in crate::gitops) const ALL: [(&'static str, Self); 8] = [
        ("string", Self::String),
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("boolean", Self::Boolean),
        ("list", Self::List),
        ("object", Self::Object),
        ("enum", Self::Enum),
        ("secret", Self::Secret),
    ];

    /// Its name in headers.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// As messages say it: `an integer`.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::List => "a list",
            Self::Object => "an object",
            Self::Enum => "one of its options",
            Self::Secret => "the name of a secret",
        }
    }

    /// Whether a value is of this type; the options of an enum are not looked at.
    pub(super) fn fits(self, node: &Node) -> bool {
        match (self, &node.value) {
            (Self::String, NodeValue::String(_))
            | (Self::Integer | Self::Number, NodeValue::Int(_))
            | (Self::Boolean, NodeValue::Bool(_))
            | (Self::List, NodeValue::List(_))
            | (Self::Object, NodeValue::Map(_))
            | (Self::Enum, NodeValue::String(_) | NodeValue::Int(_) | NodeValue::Float(_) | NodeValue::Bool(_)) => true,
            (Self::Number, NodeValue::Float(number)) => number.is_finite(),
            (Self::Integer, NodeValue::Float(number)) => whole(*number).is_some(),
            (Self::Secret, NodeValue::String(text)) => names_a_secret(text),
            _ => false,
        }
    }

    /// Whether a text with `${ }` may stand for a value of this type: it is evaluated when the stage starts, so that
    /// only then can it be told what it is. What templates loop over or look into has to be there when they run.
    pub(super) fn takes_dynamic(self, text: &str) -> bool {
        match self {
            Self::String | Self::Enum => has_expression(text),
            // A text around an expression makes text of it. What can't be read is reported where it is used.
            Self::Integer | Self::Number | Self::Boolean => {
                has_expression(text) && Template::parse(text).map_or(true, |template| template.as_single().is_some())
            }
            Self::List | Self::Object | Self::Secret => false,
        }
    }
}

/// A number without a fraction, as the division of a template yields it.
pub(super) fn whole(number: f64) -> Option<i64> {
    // Beyond this, a float can't tell whole numbers apart.
    const MAX: f64 = 9_007_199_254_740_992.0;
    #[allow(clippy::cast_possible_truncation, reason = "a whole number in the range of integers")]
    (number.fract() == 0.0 && number.abs() <= MAX).then_some(number as i64)
}

fn names_a_secret(text: &str) -> bool {
    let Ok(template) = Template::parse(text) else { return false };
    template.as_single().and_then(Expression::secret).is_some()
}

/// A scalar as messages quote it: text in quotes, and none too long.
pub(super) fn quoted(node: &Node) -> String {
    let clip = |text: &str| -> String {
        if text.chars().count() <= 60 { text.to_owned() } else { text.chars().take(59).chain(['…']).collect() }
    };
    match &node.value {
        NodeValue::String(text) => format!("{:?}", clip(text)),
        NodeValue::Null => "null".to_owned(),
        other => scalar::text(other).map_or_else(|| node.kind().to_owned(), |text| clip(&text)),
    }
}
