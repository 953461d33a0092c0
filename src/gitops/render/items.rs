//! Where the values of a loop's names stand. A text or number that a loop hands out has forgotten the list that it is from,
//! so it is looked for there again.

use std::ops::Range;
use std::sync::Arc;

use minijinja::machinery::Token;
use minijinja::value::Value;

use super::expression::{Path, Spanned, follows_dot, path};
use super::value::to_value;
use crate::gitops::{Node, NodeValue, Origin, Position};

/// What a loop gives a name: a part of what it goes through.
#[derive(Debug, Clone)]
pub(super) struct ItemOf {
    /// The list or mapping that it goes through.
    pub(super) whole: Path,
    part: Part,
    /// Whether each turn sees the part of its number.
    in_order: bool,
    /// Where the loop stands.
    pub(super) range: Range<Position>,
}

/// What a loop goes through.
struct Loop {
    whole: Path,
    pairs: bool,
    in_order: bool,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    /// An item of a list, or a key of a mapping.
    Item,
    /// A part of each item.
    Within(usize),
    /// A key of a mapping.
    Key,
    /// A value of a mapping.
    Value,
}

/// Filters that hand on items as they are.
const KEEP: [&str; 8] = ["list", "reject", "rejectattr", "reverse", "select", "selectattr", "sort", "unique"];
/// Filters that make pairs of a mapping.
const PAIRS: [&str; 2] = ["dictsort", "items"];
/// The most items among which a value is looked for.
const MOST: usize = 256;
/// The most places that hold the same value.
const SAME: usize = 4;

/// What a `for` that starts at a position gives its names; the tokens behind the word `for`. Nothing if what it goes
/// through is made on the way. Where the loop ends is not known yet.
pub(super) fn items(tokens: &[Spanned<'_>], start: Position) -> Vec<(Box<str>, ItemOf)> {
    let Some(behind) = tokens.iter().position(|(token, _)| matches!(token, Token::Ident("in"))) else {
        return Vec::new();
    };
    let names: Vec<&str> = tokens[..behind].iter().filter_map(|(token, _)| word(token)).collect();
    let Some(Loop { whole, pairs, in_order }) = gone_through(&tokens[behind + 1..]) else { return Vec::new() };
    let part = |at: usize| match (pairs, names.len(), at) {
        (false, 1, _) => Some(Part::Item),
        (false, ..) => Some(Part::Within(at)),
        (true, 2, 0) => Some(Part::Key),
        (true, 2, 1) => Some(Part::Value),
        (true, ..) => None,
    };
    let range = start..Position { line: u32::MAX, column: 1 };
    let item = |(at, name): (usize, &&str)| {
        Some((Box::from(*name), ItemOf { whole: whole.clone(), part: part(at)?, in_order, range: range.clone() }))
    };
    names.iter().enumerate().filter_map(item).collect()
}

fn word<'a>(token: &Token<'a>) -> Option<&'a str> {
    match token {
        Token::Ident(word) => Some(word),
        _ => None,
    }
}

/// What the tokens say that is gone through.
fn gone_through(tokens: &[Spanned<'_>]) -> Option<Loop> {
    let end = tokens
        .iter()
        .enumerate()
        .position(|(at, (token, _))| matches!(token, Token::Ident("if" | "recursive")) && !follows_dot(tokens, at));
    let mut in_order = !end.is_some_and(|end| matches!(tokens[end].0, Token::Ident("if")));
    let tokens = &tokens[..end.unwrap_or(tokens.len())];
    let (whole, mut at) = path(tokens.first().and_then(|(token, _)| word(token))?, tokens, 1);
    let mut pairs = false;
    while at < tokens.len() {
        let [(Token::Pipe, _), (Token::Ident(filter), _), rest @ ..] = &tokens[at..] else { return None };
        if PAIRS.contains(filter) && !pairs {
            pairs = true;
        } else if !KEEP.contains(filter) {
            return None;
        }
        in_order &= matches!(*filter, "list" | "items");
        at += 2;
        if matches!(rest.first(), Some((Token::ParenOpen, _))) {
            let mut depth = 0;
            let close = rest.iter().position(|(token, _)| {
                depth += match token {
                    Token::ParenOpen => 1,
                    Token::ParenClose => -1,
                    _ => 0,
                };
                depth == 0
            });
            at += close? + 1;
        }
    }
    Some(Loop { whole, pairs, in_order })
}

impl ItemOf {
    /// Where the value stands among the parts of the whole: the part that the innermost loop is at, if that has it; else
    /// all that are equal.
    pub(super) fn holders(&self, whole: &Arc<Node>, value: &Value, turn: Option<usize>) -> Vec<Origin> {
        let same = |(held, _): &(Value, Origin)| held.kind() == value.kind() && held == value;
        let turn = turn.filter(|_| self.in_order);
        if let Some((_, here)) = turn.and_then(|turn| self.part(whole, turn)).filter(same) {
            return vec![here];
        }
        let all = (0..MOST).map_while(|at| self.part(whole, at));
        all.filter(same).map(|(_, origin)| origin).take(SAME).collect()
    }

    /// What a turn of the loop sees if nothing is left out or sorted, and where it stands.
    fn part(&self, whole: &Arc<Node>, turn: usize) -> Option<(Value, Origin)> {
        let of = |node: &Arc<Node>| (to_value(node), node.origin.clone());
        match (&whole.value, self.part) {
            (NodeValue::List(items), Part::Item) => items.get(turn).map(of),
            (NodeValue::List(items), Part::Within(at)) => items.get(turn)?.as_list()?.get(at).map(of),
            (NodeValue::Map(entries), Part::Item | Part::Key) => {
                entries.get(turn).map(|(key, _)| (Value::from(key.name.clone()), key.origin.clone()))
            }
            (NodeValue::Map(entries), Part::Value) => entries.get(turn).map(|(_, node)| of(node)),
            _ => None,
        }
    }
}
