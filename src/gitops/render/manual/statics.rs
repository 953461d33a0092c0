//! What is wrong with a module's body as far as its text tells: names that nothing stands behind, and calls of other
//! modules that can't be right.

use std::collections::BTreeSet;
use std::sync::Arc;

use minijinja::machinery::{Token, tokenize};

use super::super::arguments;
use super::super::engine;
use super::super::expression::follows_dot;
use super::super::frame::Argument;
use super::super::header::Header;
use super::super::module::Module;
use super::super::origin::stretch;
use super::super::scan::Scan;
use super::super::session::Session;
use super::super::template::Call;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::gitops::{Node, NodeValue};

/// Names that every template knows.
const KNOWN: [&str; 7] = ["vars", "repository", "branch", "module", "file", "range", "dict"];

/// Looks a module over.
pub(super) fn check(session: &Session, module: &Module) -> Vec<Diagnostic> {
    let mut findings = match &module.body.header {
        // Without a header any name may be a parameter.
        None => Vec::new(),
        Some(header) => unknown_names(session, module, header),
    };
    findings.extend(module.body.template.calls.iter().flat_map(|call| check_call(session, module, call)));
    findings
}

/// Names in the body that are neither parameters nor known nor given a value there.
fn unknown_names(session: &Session, module: &Module, header: &Header) -> Vec<Diagnostic> {
    let template = &module.body.template;
    if template.marked.is_none() {
        return Vec::new();
    }
    let Ok(scan) = Scan::new(&template.file, template.base) else { return Vec::new() };
    let Ok(parsed) = session.kept.environment.template_from_named_str("module", &scan.body) else { return Vec::new() };
    let known = || header.names().chain(KNOWN);
    let mut unknown: BTreeSet<String> = parsed.undeclared_variables(false).into_iter().collect();
    unknown.retain(|name| !known().any(|known| known == name));
    let say = |name: &String| {
        let at =
            place_of(&scan.body, name).map_or(0..0, |range| template.base + range.start..template.base + range.end);
        let message =
            format!("`{name}` is neither a parameter of `{}` nor anything else that is known here", module.name);
        let hint = match nearest(name, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "declare it under `parameters`, or write `vars.NAME` for a variable".to_owned(),
        };
        stretch(&template.file, &at).locate(Diagnostic::error(Code::UndefinedValue, message).hint(hint))
    };
    unknown.iter().map(say).collect()
}

/// Where a name is first read.
fn place_of(body: &str, name: &str) -> Option<std::ops::Range<usize>> {
    let tokens: Vec<_> = tokenize(body, false, engine::syntax()).map_while(Result::ok).collect();
    let reads = |at: usize| {
        matches!(&tokens[at].0, Token::Ident(ident) if *ident == name)
            && !follows_dot(&tokens, at)
            && !matches!(tokens.get(at + 1), Some((Token::Assign, _)))
    };
    let at = (0..tokens.len()).find(|at| reads(*at))?;
    let span = &tokens[at].1;
    Some(span.start_offset as usize..span.end_offset as usize)
}

/// What can be said about a call of another module: whether it exists, has such parameters, and gets those it needs.
fn check_call(session: &Session, module: &Module, call: &Call) -> Vec<Diagnostic> {
    let file = &module.body.template.file;
    let Some((name, complete)) = callee(&file.text[call.start..call.end]) else { return Vec::new() };
    let site = stretch(file, &(call.start..call.end));
    let found = match session.find_module(&name, &module.home) {
        Ok(found) => found,
        Err(fault) => return vec![site.locate(fault.finding())],
    };
    let mut findings: Vec<Diagnostic> = found.doubt().map(|doubt| site.locate(doubt.clone())).into_iter().collect();
    // What is wrong with the other module is said about the other module.
    let Ok(other) = session.load_module(&found) else { return findings };
    let Some(header) = &other.body.header else { return findings };
    let argument = |(name, expression): &(Box<str>, super::super::expression::Expression)| {
        let origin = stretch(file, &expression.range);
        let node = Arc::new(Node { value: NodeValue::Null, origin: origin.clone() });
        Argument { name: Arc::from(&**name), node, origin }
    };
    let given: Vec<Argument> = call.arguments.iter().map(argument).collect();
    findings.extend(arguments::unknown(&other, header, &given));
    let missing = header.parameters.iter().filter(|parameter| {
        complete && parameter.required && !given.iter().any(|argument| argument.name == parameter.name)
    });
    findings.extend(missing.map(|parameter| arguments::missing(&other, parameter, &site, None)));
    findings
}

/// The name of the module in a call, if it is written as it stands, and whether all arguments are.
fn callee(call: &str) -> Option<(String, bool)> {
    let tokens: Vec<_> = tokenize(call, true, engine::syntax()).map_while(Result::ok).collect();
    let [(Token::Ident("module"), _), (Token::ParenOpen, _), (name, _), (after, _), ..] = &tokens[..] else {
        return None;
    };
    let name = match name {
        Token::Str(name) => (*name).to_owned(),
        Token::String(name) => name.to_string(),
        _ => return None,
    };
    let complete = !tokens.iter().any(|(token, _)| matches!(token, Token::Pow));
    matches!(after, Token::Comma | Token::ParenClose).then_some((name, complete))
}
