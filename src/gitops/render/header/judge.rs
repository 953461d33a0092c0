//! Whether a value is what a parameter declares.

use std::sync::Arc;

use super::kind::{quoted, whole};
use super::{Bounds, Parameter, ParameterKind};
use crate::diagnostic::nearest;
use crate::gitops::{Node, NodeValue};

/// Why a value doesn't fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gitops::render) struct Misfit {
    /// What is wrong, as the rest of a sentence that starts with the parameter: `is an integer; "two" is a string`.
    pub(in crate::gitops::render) message: String,
    /// What to do about it.
    pub(in crate::gitops::render) hint: Option<String>,
    /// Of a list whose item doesn't fit: which one.
    pub(in crate::gitops::render) item: Option<usize>,
}

impl Misfit {
    fn new(message: String) -> Self {
        Self { message, hint: None, item: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl Parameter {
    /// Holds a value that is not null against the declaration. It comes back as the body is to see it: a whole number
    /// that is written with a fraction of zero, for an integer, is one without.
    pub(in crate::gitops::render) fn judge(&self, node: &Arc<Node>) -> Result<Arc<Node>, Misfit> {
        let Some(kind) = self.kind else { return Ok(node.clone()) };
        if let NodeValue::String(text) = &node.value
            && kind.takes_dynamic(text)
        {
            return Ok(node.clone());
        }
        if !kind.fits(node) {
            return Err(wrong_type(kind, node));
        }
        match kind {
            ParameterKind::Enum => self.judge_option(node)?,
            ParameterKind::Number | ParameterKind::Integer => self.judge_number(node)?,
            ParameterKind::String => self.judge_text(node)?,
            ParameterKind::List => return self.judge_list(node),
            _ => {}
        }
        Ok(if kind == ParameterKind::Integer { integer(node) } else { node.clone() })
    }

    fn judge_option(&self, node: &Node) -> Result<(), Misfit> {
        let value = node.to_json();
        if self.options.iter().any(|option| option.to_json() == value) {
            return Ok(());
        }
        let all: Vec<String> = self.options.iter().map(|option| quoted(option)).collect();
        let near = nearest(node.as_str().unwrap_or_default(), self.options.iter().filter_map(|option| option.as_str()));
        let misfit = Misfit::new(format!("is one of {}; {} is none of them", all.join(", "), quoted(node)));
        Err(match near {
            Some(near) => misfit.hint(format!("did you mean {near:?}?")),
            None => misfit,
        })
    }

    fn judge_number(&self, node: &Node) -> Result<(), Misfit> {
        #[allow(clippy::cast_precision_loss, reason = "bounds are compared as the numbers that they are written as")]
        let number = match node.value {
            NodeValue::Int(number) => number as f64,
            NodeValue::Float(number) => number,
            _ => return Ok(()),
        };
        if self.bounds.holds(number) {
            return Ok(());
        }
        Err(Misfit::new(format!("is {}; it can't be {}", self.bounds.words(""), quoted(node))))
    }

    fn judge_text(&self, node: &Node) -> Result<(), Misfit> {
        let text = node.as_str().unwrap_or_default();
        let length = text.chars().count();
        if !self.bounds.holds_count(length) {
            return Err(Misfit::new(format!("has {}; {} has {length}", self.bounds.words("character"), quoted(node))));
        }
        match &self.pattern {
            Some(pattern) if !pattern.matches(text) => {
                Err(Misfit::new(format!("has to match `{}`; {} doesn't", pattern.text, quoted(node)))
                    .hint("the whole text has to match the pattern"))
            }
            _ => Ok(()),
        }
    }

    fn judge_list(&self, node: &Arc<Node>) -> Result<Arc<Node>, Misfit> {
        let items = node.as_list().unwrap_or_default();
        if !self.bounds.holds_count(items.len()) {
            return Err(Misfit::new(format!("has {}; this list has {}", self.bounds.words("item"), items.len())));
        }
        let Some(kind) = self.items else { return Ok(node.clone()) };
        for (at, item) in items.iter().enumerate() {
            let dynamic = item.as_str().is_some_and(|text| kind.takes_dynamic(text));
            if !dynamic && !kind.fits(item) {
                let Misfit { hint, .. } = wrong_type(kind, item);
                let message = format!(
                    "is a list of which each item is {}; item {} ({}) is {}",
                    kind.words(),
                    at + 1,
                    quoted(item),
                    item.kind()
                );
                return Err(Misfit { message, hint, item: Some(at) });
            }
        }
        if kind != ParameterKind::Integer {
            return Ok(node.clone());
        }
        let value = NodeValue::List(items.iter().map(integer).collect());
        Ok(Arc::new(Node { value, origin: node.origin.clone() }))
    }
}

/// Says that a value is of another type. What was given for a secret is not repeated: it may be one.
fn wrong_type(kind: ParameterKind, node: &Node) -> Misfit {
    if kind == ParameterKind::Secret {
        return Misfit::new(format!("takes the name of a secret, not {}", other_than_a_secret(node)))
            .hint("write `${ secret(\"name\") }`, and nothing around it; the value itself belongs to the operator");
    }
    let value = match &node.value {
        NodeValue::List(_) | NodeValue::Map(_) => format!("this is {}", node.kind()),
        NodeValue::Float(number) if kind == ParameterKind::Number => format!("{number} is none that is finite"),
        NodeValue::Float(number) if kind == ParameterKind::Integer && number.is_finite() => {
            format!("{number} has a fraction")
        }
        _ => format!("{} is {}", quoted(node), node.kind()),
    };
    let misfit = Misfit::new(format!("is {}; {value}", kind.words()));
    match (kind, &node.value) {
        (ParameterKind::String, NodeValue::Int(_) | NodeValue::Float(_) | NodeValue::Bool(_)) => {
            misfit.hint(format!("put it in quotes: {:?}", quoted(node)))
        }
        (ParameterKind::Integer | ParameterKind::Number, NodeValue::String(text)) if text.parse::<f64>().is_ok() => {
            misfit.hint(format!("write {text} without quotes"))
        }
        (ParameterKind::Boolean, NodeValue::String(_)) => misfit.hint("write true or false, without quotes"),
        (ParameterKind::List | ParameterKind::Object, NodeValue::String(text)) if text.contains("${") => {
            misfit.hint("`${ }` is evaluated when a stage starts; here the value has to be there earlier")
        }
        (ParameterKind::List, NodeValue::String(_) | NodeValue::Int(_)) => {
            misfit.hint(format!("write a list: [{}]", quoted(node)))
        }
        _ => misfit,
    }
}

fn other_than_a_secret(node: &Node) -> &'static str {
    match node.as_str() {
        Some(text) if text.contains("${") => "another text with an expression",
        Some(_) => "a text",
        None => node.kind(),
    }
}

fn integer(node: &Arc<Node>) -> Arc<Node> {
    match node.value {
        NodeValue::Float(number) => match whole(number) {
            Some(number) => Arc::new(Node { value: NodeValue::Int(number), origin: node.origin.clone() }),
            None => node.clone(),
        },
        _ => node.clone(),
    }
}

impl Bounds {
    fn holds(&self, number: f64) -> bool {
        self.min.is_none_or(|min| number >= min) && self.max.is_none_or(|max| number <= max)
    }

    #[allow(clippy::cast_precision_loss, reason = "a count of what is in memory")]
    fn holds_count(&self, count: usize) -> bool {
        self.holds(count as f64)
    }

    /// As messages say it: `from 1 to 5`, `at least 2 items`.
    pub(super) fn words(&self, of: &str) -> String {
        let noun = |number: f64| match of {
            "" => String::new(),
            _ if (number - 1.0).abs() < f64::EPSILON => format!(" {of}"),
            _ => format!(" {of}s"),
        };
        match (self.min, self.max) {
            (Some(min), Some(max)) if (min - max).abs() < f64::EPSILON => format!("exactly {min}{}", noun(min)),
            (Some(min), Some(max)) => format!("from {min} to {max}{}", noun(max)),
            (Some(min), None) => format!("at least {min}{}", noun(min)),
            (None, Some(max)) => format!("at most {max}{}", noun(max)),
            (None, None) => "of any size".to_owned(),
        }
    }
}
