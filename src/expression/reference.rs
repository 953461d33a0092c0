//! What an expression refers to, told without running it.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedEntryExpr, LiteralValue, SourceInfo, operators};

use super::parse::LooksUp;
use super::{ExpressionError, helpers, language};
use crate::diagnostic::Code;
use crate::model::SecretName;

/// One mention of a variable, with the keys that follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The variable and the keys below it, as far as they are written out:
    /// `["stages", "build", "outputs", "image"]`.
    pub path: Vec<String>,
    /// Where the variable stands in the expression, in characters from its start.
    pub offset: usize,
}

/// A call of a function that looks something up by name, with the keys that follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedCall {
    /// The function: `stage`, `judgment`, `triggerResolvedArtifact` and their like.
    pub function: String,
    /// The name that it is called with.
    pub name: String,
    /// The keys that follow, as far as they are written out.
    pub keys: Vec<String>,
    /// Where the function's name stands in the expression, in characters from its start.
    pub offset: usize,
}

impl NamedCall {
    /// Whether the name is that of a stage.
    pub fn is_about_stages(&self) -> bool {
        helpers::is_about_stages(&self.function)
    }
}

/// What a syntax tree mentions.
#[derive(Default)]
pub(super) struct Found {
    pub(super) references: Vec<Reference>,
    pub(super) calls: Vec<NamedCall>,
    pub(super) looks_up: LooksUp,
}

/// All that a syntax tree mentions, in the order in which it stands.
///
/// # Errors
/// If the tree calls a function that doesn't exist, or with too many or too few arguments.
pub(super) fn collect(text: &str, tree: &IdedExpr, source: &SourceInfo) -> Result<Found, ExpressionError> {
    let mut walk = Walk { text, source, bound: Vec::new(), found: Found::default() };
    walk.visit(tree)?;
    walk.found.references.sort_by_key(|reference| reference.offset);
    walk.found.calls.sort_by_key(|call| call.offset);
    Ok(walk.found)
}

struct Walk<'a> {
    text: &'a str,
    source: &'a SourceInfo,
    /// Variables that the expression itself introduces.
    bound: Vec<&'a str>,
    found: Found,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, node: &'a IdedExpr) -> Result<(), ExpressionError> {
        if self.chain(node)? {
            return Ok(());
        }
        for child in children(node) {
            match &node.expr {
                Expr::Comprehension(comprehension) if !std::ptr::eq(child, &raw const comprehension.iter_range) => {
                    let before = self.bound.len();
                    self.bound.extend([comprehension.iter_var.as_str(), comprehension.accu_var.as_str()]);
                    self.bound.extend(comprehension.iter_var2.as_deref());
                    let outcome = self.visit(child);
                    self.bound.truncate(before);
                    outcome?;
                }
                _ => self.visit(child)?,
            }
        }
        match &node.expr {
            Expr::Call(call) => self.check_call(node.id, call),
            Expr::Struct(made) => {
                let message = format!("there is no type `{}` to make a value of", made.type_name);
                Err(ExpressionError::new(message, self.offset(node.id))
                    .hint("a mapping is written `{\"key\": value}`".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Follows member accesses down to the variable they start from; false if they start elsewhere.
    fn chain(&mut self, node: &'a IdedExpr) -> Result<bool, ExpressionError> {
        let mut path = Vec::new();
        let mut indices = Vec::new();
        let mut at = node;
        loop {
            match &at.expr {
                Expr::Ident(name) => {
                    let name = name.trim_start_matches('.');
                    if !self.bound.contains(&name) && !name.starts_with('@') && !language::is_type(name) {
                        path.push(name.to_owned());
                        path.reverse();
                        self.found.references.push(Reference { path, offset: self.offset(at.id) });
                    }
                    break;
                }
                Expr::Select(select) => {
                    path.push(select.field.clone());
                    at = &select.operand;
                }
                Expr::Call(call) if is_index(call) => {
                    match &call.args[1].expr {
                        Expr::Literal(LiteralValue::String(key)) => path.push(key.inner().to_owned()),
                        // What follows a computed key can't be told.
                        _ => {
                            path.clear();
                            indices.push(&call.args[1]);
                        }
                    }
                    at = &call.args[0];
                }
                _ if std::ptr::eq(at, node) => return Ok(false),
                _ => {
                    self.visit(at)?;
                    path.reverse();
                    self.follow(at, path);
                    break;
                }
            }
        }
        for index in indices {
            self.visit(index)?;
        }
        Ok(true)
    }

    /// Notes the keys that follow a call by name.
    fn follow(&mut self, node: &IdedExpr, keys: Vec<String>) {
        let Expr::Call(call) = &node.expr else { return };
        let offset = self.place_of(node.id, call);
        if let Some(noted) = self.found.calls.iter_mut().find(|noted| noted.offset == offset) {
            noted.keys = keys;
        }
    }

    /// Notes a call that looks something up.
    fn note(&mut self, id: u64, call: &CallExpr) {
        if call.target.is_some() || !helpers::looks_up(&call.func_name) {
            return;
        }
        if self.found.looks_up == LooksUp::Nothing {
            self.found.looks_up = LooksUp::Named;
        }
        match call.args.first().map(|argument| &argument.expr) {
            Some(Expr::Literal(LiteralValue::String(name))) => {
                let (function, offset) = (call.func_name.clone(), self.place_of(id, call));
                let name = name.inner().to_owned();
                self.found.calls.push(NamedCall { function, name, keys: Vec::new(), offset });
            }
            _ if helpers::is_about_stages(&call.func_name) => self.found.looks_up = LooksUp::Any,
            _ => {}
        }
    }

    /// Where a call's name stands: the call's own place is its bracket.
    fn place_of(&self, id: u64, call: &CallExpr) -> usize {
        self.offset(id).saturating_sub(call.func_name.chars().count())
    }

    fn check_call(&mut self, id: u64, call: &CallExpr) -> Result<(), ExpressionError> {
        let is_operator = call.func_name.starts_with(|letter: char| !letter.is_ascii_alphabetic());
        if is_operator {
            return Ok(());
        }
        self.note(id, call);
        match language::refuse_call(&call.func_name, call.target.is_some()) {
            Some((message, hint)) if !is_namespaced(call) => {
                let offset = self.place_of(id, call);
                let secret = call.func_name == language::SECRET;
                let code = if secret { Code::SecretMisplaced } else { Code::ExpressionSyntax };
                Err(ExpressionError::new(message, offset).hint(hint).code(code))
            }
            _ if call.target.is_some() => Ok(()),
            _ => match language::refuse_arguments(&call.func_name, call.args.len()) {
                Some((message, hint)) => Err(ExpressionError::new(message, self.place_of(id, call)).hint(hint)),
                None => Ok(()),
            },
        }
    }

    fn offset(&self, id: u64) -> usize {
        let byte = self.source.offset_for(id).map_or(0, |(start, _)| start as usize);
        self.text.get(..byte).map_or(0, |before| before.chars().count())
    }
}

fn is_index(call: &CallExpr) -> bool {
    let operator = matches!(call.func_name.as_str(), operators::INDEX | operators::OPT_INDEX | operators::OPT_SELECT);
    operator && call.target.is_none() && call.args.len() == 2
}

fn is_namespaced(call: &CallExpr) -> bool {
    let target = call.target.as_deref().map(|target| &target.expr);
    matches!(target, Some(Expr::Ident(name)) if language::is_optional_function(name, &call.func_name))
}

/// The parts of a node, the name of a namespace left out.
pub(super) fn children(node: &IdedExpr) -> Vec<&IdedExpr> {
    match &node.expr {
        Expr::Call(call) => {
            let target = call.target.as_deref().filter(|_| !is_namespaced(call));
            target.into_iter().chain(&call.args).collect()
        }
        Expr::Comprehension(loops) => {
            vec![&loops.iter_range, &loops.accu_init, &loops.loop_cond, &loops.loop_step, &loops.result]
        }
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(entry_parts).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Struct(made) => made.entries.iter().flat_map(entry_parts).collect(),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

fn entry_parts(entry: &IdedEntryExpr) -> Vec<&IdedExpr> {
    match &entry.expr {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}

/// The name in `secret("name")`, if the tree is that and nothing else.
///
/// # Errors
/// If what stands there can't be the name of a secret.
pub(super) fn secret(tree: &IdedExpr) -> Option<Result<SecretName, ExpressionError>> {
    let Expr::Call(call) = &tree.expr else { return None };
    if call.func_name != language::SECRET || call.target.is_some() {
        return None;
    }
    let [argument] = call.args.as_slice() else { return None };
    let Expr::Literal(LiteralValue::String(name)) = &argument.expr else { return None };
    let refuse = |error: crate::model::IdError| ExpressionError::new(error.to_string(), 0).code(Code::SecretMisplaced);
    Some(SecretName::parse(name.inner()).map_err(refuse))
}

/// How many levels a syntax tree has.
pub(super) fn depth(node: &IdedExpr) -> usize {
    1 + children(node).into_iter().map(depth).max().unwrap_or(0)
}
