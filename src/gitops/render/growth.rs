//! Where a template can make texts and lists longer: `~`, `+`, `*` and slices. The engine has no bound for them, so what
//! they are given is counted: the pre-pass puts these calls around it.
//!
//! - `a ~ b` becomes `__d(a) ~ __d(b)`, and `a + b` becomes `__c(a) + __c(b)`: what comes out is no longer than what goes in.
//! - `a * b` becomes `__mul((a),(b))`.
//! - `a[1:]` becomes `a[1:]|__c`, because it is a copy.
//!
//! Filters are bounded where they are defined ([`super::guards`]).

use std::mem::discriminant;
use std::ops::Range;

use minijinja::machinery::Token;
use minijinja::machinery::ast::{BinOpKind, Call, CallArg, Expr, Macro, Stmt};

use super::expression::Spanned;

/// A stretch of the body, and what takes its place.
pub(super) type Edit = (Range<usize>, String);

/// A literal that is no longer than this isn't counted.
const SHORT: usize = 16;

/// What has to be put into a template, by offsets of its text; `tokens` are all of it.
pub(super) fn growth(template: &Stmt<'_>, tokens: &[Spanned<'_>]) -> Vec<Edit> {
    let mut walk = Walk { tokens, edits: Vec::new() };
    walk.statement(template);
    walk.slices();
    // What stands at one place stays in the order in which it was found: the outer before the inner.
    walk.edits.sort_by_key(|(range, _)| range.start);
    walk.edits
}

/// The same, from the tokens alone, if that is all that it takes: no `+` and no `*`, and `~` only between names, texts and
/// whole numbers. Most templates are like that, and need not be parsed for it.
pub(super) fn plain_growth(tokens: &[Spanned<'_>]) -> Option<Vec<Edit>> {
    let mut walk = Walk { tokens, edits: Vec::new() };
    for (at, (token, span)) in tokens.iter().enumerate() {
        match token {
            Token::Plus | Token::Mul => return None,
            Token::Tilde => {
                let (left, right) = (operand_before(tokens, at)?, operand_after(tokens, at)?);
                let (start, end) = (span.start_offset as usize, span.end_offset as usize);
                let (first, last) = (tokens[left].1.start_offset as usize, tokens[right].1.end_offset as usize);
                // What stands between two of them is counted once.
                let goes_on = left > 0 && matches!(tokens[left - 1].0, Token::Tilde);
                if !goes_on && !walk.is_short(first, start) {
                    walk.edits.push((first..first, "__d(".to_owned()));
                    walk.edits.push((start..start, ")".to_owned()));
                }
                if !walk.is_short(end, last) {
                    walk.edits.push((end..end, "__d(".to_owned()));
                    walk.edits.push((last..last, ")".to_owned()));
                }
            }
            _ => {}
        }
    }
    walk.slices();
    walk.edits.sort_by_key(|(range, _)| range.start);
    Some(walk.edits)
}

/// Where the plain operand before a sign begins: the number of its first token.
fn operand_before(tokens: &[Spanned<'_>], sign: usize) -> Option<usize> {
    let mut first = sign.checked_sub(1)?;
    if is_name(&tokens[first].0) {
        while first >= 2 && matches!(tokens[first - 1].0, Token::Dot) && is_name(&tokens[first - 2].0) {
            first -= 2;
        }
    } else if !is_literal(&tokens[first].0) {
        return None;
    }
    let begins = matches!(
        tokens[first.checked_sub(1)?].0,
        Token::Tilde
            | Token::VariableStart
            | Token::ParenOpen
            | Token::BracketOpen
            | Token::BraceOpen
            | Token::Comma
            | Token::Assign
            | Token::Colon
    );
    begins.then_some(first)
}

/// Where the plain operand behind a sign ends: the number of its last token.
fn operand_after(tokens: &[Spanned<'_>], sign: usize) -> Option<usize> {
    let mut last = sign + 1;
    if is_name(&tokens.get(last)?.0) {
        while let [(Token::Dot, _), (name, _), ..] = &tokens[last + 1..]
            && is_name(name)
        {
            last += 2;
        }
    } else if !is_literal(&tokens[last].0) {
        return None;
    }
    let ends = matches!(
        tokens.get(last + 1)?.0,
        Token::Tilde
            | Token::VariableEnd
            | Token::BlockEnd
            | Token::ParenClose
            | Token::BracketClose
            | Token::BraceClose
            | Token::Comma
            | Token::Colon
    );
    ends.then_some(last)
}

fn is_name(token: &Token<'_>) -> bool {
    matches!(token, Token::Ident(word) if !matches!(*word, "in" | "and" | "or" | "not" | "if" | "else" | "is"))
}

fn is_literal(token: &Token<'_>) -> bool {
    matches!(token, Token::Str(_) | Token::String(_) | Token::Int(_))
}

struct Walk<'t, 'a> {
    tokens: &'t [Spanned<'a>],
    edits: Vec<Edit>,
}

impl Walk<'_, '_> {
    fn statements(&mut self, statements: &[Stmt<'_>]) {
        statements.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &Stmt<'_>) {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitExpr(emit) => self.expression(&emit.expr),
            Stmt::ForLoop(each) => {
                self.expression(&each.iter);
                each.filter_expr.iter().for_each(|expr| self.expression(expr));
                self.statements(&each.body);
                self.statements(&each.else_body);
            }
            Stmt::IfCond(cond) => {
                self.expression(&cond.expr);
                self.statements(&cond.true_body);
                self.statements(&cond.false_body);
            }
            Stmt::WithBlock(with) => {
                with.assignments.iter().for_each(|(_, expr)| self.expression(expr));
                self.statements(&with.body);
            }
            Stmt::Set(set) => self.expression(&set.expr),
            Stmt::SetBlock(set) => {
                set.filter.iter().for_each(|expr| self.expression(expr));
                self.statements(&set.body);
            }
            Stmt::FilterBlock(block) => {
                self.expression(&block.filter);
                self.statements(&block.body);
            }
            Stmt::Macro(declared) => self.declared(declared),
            Stmt::CallBlock(block) => {
                self.call(&block.call);
                self.declared(&block.macro_decl);
            }
            Stmt::Do(done) => self.call(&done.call),
            // Raw text grows nothing, and the rest is refused.
            _ => {}
        }
    }

    fn declared(&mut self, declared: &Macro<'_>) {
        declared.defaults.iter().for_each(|expr| self.expression(expr));
        self.statements(&declared.body);
    }

    fn call(&mut self, call: &Call<'_>) {
        self.expression(&call.expr);
        self.arguments(&call.args);
    }

    fn arguments(&mut self, arguments: &[CallArg<'_>]) {
        for argument in arguments {
            let (CallArg::Pos(expr) | CallArg::Kwarg(_, expr) | CallArg::PosSplat(expr) | CallArg::KwargSplat(expr)) =
                argument;
            self.expression(expr);
        }
    }

    fn expression(&mut self, expr: &Expr<'_>) {
        match expr {
            Expr::Var(_) | Expr::Const(_) => {}
            Expr::Slice(slice) => {
                self.expression(&slice.expr);
                [&slice.start, &slice.stop, &slice.step].into_iter().flatten().for_each(|expr| self.expression(expr));
            }
            Expr::UnaryOp(operation) => self.expression(&operation.expr),
            Expr::BinOp(operation) => {
                let span = operation.span();
                let whole = span.start_offset as usize..span.end_offset as usize;
                self.operation(operation.op, &operation.left, whole);
                self.expression(&operation.left);
                self.expression(&operation.right);
            }
            Expr::Compare(compare) => {
                self.expression(&compare.expr);
                compare.ops.iter().for_each(|op| self.expression(&op.expr));
            }
            Expr::IfExpr(choice) => {
                self.expression(&choice.true_expr);
                self.expression(&choice.test_expr);
                choice.false_expr.iter().for_each(|expr| self.expression(expr));
            }
            Expr::Filter(filter) => {
                filter.expr.iter().for_each(|expr| self.expression(expr));
                self.arguments(&filter.args);
            }
            Expr::Test(test) => {
                self.expression(&test.expr);
                self.arguments(&test.args);
            }
            Expr::GetAttr(attribute) => self.expression(&attribute.expr),
            Expr::GetItem(item) => {
                self.expression(&item.expr);
                self.expression(&item.subscript_expr);
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => list.items.iter().for_each(|item| self.expression(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.expression(item)),
            Expr::Map(map) => map.keys.iter().chain(&map.values).for_each(|part| self.expression(part)),
        }
    }

    /// An operator between two expressions, and where the whole of it stands.
    fn operation(&mut self, kind: BinOpKind, left: &Expr<'_>, whole: Range<usize>) {
        let (sign, count) = match kind {
            BinOpKind::Concat => (Token::Tilde, "__d("),
            BinOpKind::Add => (Token::Plus, "__c("),
            BinOpKind::Mul => (Token::Mul, ""),
            _ => return,
        };
        let Some(at) = self.sign(&sign, &whole) else { return };
        let sign = self.tokens[at].1;
        let sign = sign.start_offset as usize..sign.end_offset as usize;
        if count.is_empty() {
            self.edits.push((whole.start..whole.start, "__mul((".to_owned()));
            self.edits.push((sign, "),(".to_owned()));
            self.edits.push((whole.end..whole.end, "))".to_owned()));
            return;
        }
        // In a row of the same operator each part is counted once.
        let goes_on = matches!(left, Expr::BinOp(inner)
            if discriminant(&inner.op) == discriminant(&kind)
                && inner.span().start_offset as usize == whole.start);
        if !goes_on && !self.is_short(whole.start, sign.start) {
            self.edits.push((whole.start..whole.start, count.to_owned()));
            self.edits.push((sign.start..sign.start, ")".to_owned()));
        }
        if !self.is_short(sign.end, whole.end) {
            self.edits.push((sign.end..sign.end, count.to_owned()));
            self.edits.push((whole.end..whole.end, ")".to_owned()));
        }
    }

    /// The number of the first token that starts at an offset or behind it.
    fn token_at(&self, offset: usize) -> usize {
        self.tokens.partition_point(|(_, span)| (span.start_offset as usize) < offset)
    }

    /// The last such sign in a stretch that stands in no bracket of its own.
    fn sign(&self, sign: &Token<'_>, whole: &Range<usize>) -> Option<usize> {
        let mut depth = 0;
        for at in (self.token_at(whole.start)..self.token_at(whole.end)).rev() {
            depth -= nesting(&self.tokens[at].0);
            if depth == 0 && discriminant(&self.tokens[at].0) == discriminant(sign) {
                return Some(at);
            }
        }
        None
    }

    /// Whether a stretch is one number or short text.
    fn is_short(&self, start: usize, end: usize) -> bool {
        match &self.tokens[self.token_at(start)..self.token_at(end)] {
            [(Token::Int(_), _)] => true,
            [(Token::Str(text), _)] => text.len() <= SHORT,
            [(Token::String(text), _)] => text.len() <= SHORT,
            _ => false,
        }
    }

    /// Slices, which end with the postfixes that follow them.
    fn slices(&mut self) {
        // For each open bracket whether it is a subscript, and whether it is a slice.
        let mut open: Vec<(bool, bool)> = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            match &self.tokens[at].0 {
                Token::BracketOpen => open.push((at > 0 && ends_value(&self.tokens[at - 1].0), false)),
                Token::ParenOpen | Token::BraceOpen => open.push((false, false)),
                Token::Colon => {
                    if let Some((true, is_slice)) = open.last_mut() {
                        *is_slice = true;
                    }
                }
                Token::ParenClose | Token::BraceClose => drop(open.pop()),
                Token::BracketClose => {
                    if let Some((true, true)) = open.pop() {
                        let end = self.tokens[self.postfix_end(at)].1.end_offset as usize;
                        self.edits.push((end..end, "|__c".to_owned()));
                    }
                }
                Token::VariableEnd | Token::BlockEnd => open.clear(),
                _ => {}
            }
            at += 1;
        }
    }

    /// The last token of what follows a value directly: `.x`, `[0]`, `(...)`.
    fn postfix_end(&self, mut last: usize) -> usize {
        loop {
            match &self.tokens[last + 1..] {
                [(Token::Dot, _), _, ..] => last += 2,
                [(Token::BracketOpen | Token::ParenOpen, _), ..] => {
                    let mut depth = 0;
                    let close = self.tokens[last + 1..].iter().position(|(token, _)| {
                        depth += nesting(token);
                        depth == 0
                    });
                    match close {
                        Some(close) => last += close + 1,
                        None => return last,
                    }
                }
                _ => return last,
            }
        }
    }
}

fn ends_value(token: &Token<'_>) -> bool {
    match token {
        Token::Ident(word) => !matches!(*word, "in" | "and" | "or" | "not" | "if" | "else" | "is"),
        Token::Str(_) | Token::String(_) | Token::ParenClose | Token::BracketClose | Token::BraceClose => true,
        _ => false,
    }
}

fn nesting(token: &Token<'_>) -> i32 {
    match token {
        Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => 1,
        Token::ParenClose | Token::BracketClose | Token::BraceClose => -1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use minijinja::machinery::{parse, tokenize};
    use proptest::prelude::*;

    use super::*;
    use crate::gitops::render::engine;

    fn tokens(text: &str) -> Vec<Spanned<'_>> {
        tokenize(text, false, engine::syntax()).collect::<Result<_, _>>().expect("tokens")
    }

    /// What both ways find, if the template is one.
    fn both(text: &str) -> Option<(Option<Vec<Edit>>, Vec<Edit>)> {
        let tokens = tokens(text);
        let parsed = parse(text, "x", engine::syntax()).ok()?;
        Some((plain_growth(&tokens), growth(&parsed, &tokens)))
    }

    #[test]
    fn plain_rows_of_texts_need_no_parser() {
        for text in [
            "{{ a ~ b }}",
            r#"{{ module("x", image=vars.image ~ ":" ~ vars.tag, env={"A": vars.b ~ "-a text that is long" ~ 7}) }}"#,
            "{% for x in [a ~ b, c] %}{{ x[a ~ b:] }}{% endfor %}",
            "{%- set x = a~b~c -%}{{ x[1:].y }} {{ (a ~ b) }}",
            "{{ {a ~ 'x': 1} }}",
            "{{ a }} and no more",
        ] {
            let (plain, found) = both(text).expect("a template");
            assert_eq!(plain, Some(found), "{text}");
        }
        for text in
            ["{{ a + b }}", "{{ a * 2 }}", "{{ a|f ~ b }}", "{{ a ~ b|f }}", "{{ a ~ f(b) }}", "{{ not a ~ b }}"]
        {
            assert_eq!(plain_growth(&tokens(text)), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn where_the_parser_is_not_asked_it_would_say_the_same(
            words in prop::collection::vec(prop::sample::select(vec![
                "a", "b", ".", "~", "~", "~", "'x'", "'a text that is much longer'", "7", "1.5", "(", ")", "[", "]", ":", ",", "|", "f",
                "not", "and", "if", "else", "-", "==", "in", "is", "{", "}",
            ]), 1..12),
        ) {
            let text = format!("x {{{{ {} }}}} y", words.join(" "));
            let tokens = tokenize(&text, false, engine::syntax()).collect::<Result<Vec<_>, _>>();
            if tokens.is_ok() && let Some((Some(plain), found)) = both(&text) {
                prop_assert_eq!(plain, found, "{}", text);
            }
        }
    }
}
