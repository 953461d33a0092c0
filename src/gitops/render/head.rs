//! What must be known of an application file before it is rendered: its own `vars`, and which part of it belongs to
//! which environment.
//!
//! Both decide what `vars` is while the file is rendered, so they can't be yielded by its templates: they are read from
//! the text as it is written. `vars` is a key at the top of the file, and holds data. An environment is the literal
//! `environment` of a pipeline; tags between the pipeline's `-` and the next one see the variables of that environment.
//! A literal `environment` at the top of the file is that of the rest.
//! What is written in another way is seen after rendering, and is an error then, never a silent difference.

use std::ops::Range;

use granit_parser::{Event, Parser};

/// The places of interest in a file's text, in bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The top-level `vars` with their key, each time that they occur; in a file of one flow mapping without the key.
    pub(super) vars: Vec<Range<usize>>,
    /// Whether [`Head::vars`] holds the key too.
    pub(super) vars_with_key: bool,
    /// The environment of the file itself, which is that of the pipelines that name none.
    pub(super) environment: Option<String>,
    /// The pipelines that name an environment, and its name.
    pub(super) environments: Vec<(Range<usize>, String)>,
}

impl Head {
    /// Looks a text over.
    pub(super) fn new(text: &str) -> Self {
        let start = text.trim_start();
        let flow =
            start.starts_with('{') && !start.starts_with("{{") && !start.starts_with("{%") && !start.starts_with("{#");
        if flow { flow_head(text) } else { block_head(text) }
    }
}

/// A line, and where it starts.
type Line<'a> = (usize, &'a str);

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut at = 0;
    text.split_inclusive('\n')
        .map(|line| {
            let start = at;
            at += line.len();
            (start, line)
        })
        .collect()
}

fn block_head(text: &str) -> Head {
    let lines = lines(text);
    let mut head = Head { vars_with_key: true, ..Head::default() };
    let mut of_file = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let (start, line) = lines[at];
        let name = top_key(line);
        let length =
            1 + lines[at + 1..].iter().take_while(|(_, line)| continues(line, name == Some("pipelines"))).count();
        let block = &lines[at..at + length];
        let end = lines.get(at + length).map_or(text.len(), |(start, _)| *start);
        match name {
            Some("vars") => head.vars.push(start..end),
            Some("environment") => of_file.push(line.split_once(':').and_then(|(_, text)| literal(text))),
            Some("pipelines") => head.environments.extend(environments(block, end)),
            _ => {}
        }
        at += length;
    }
    // Of several, templates choose one; which is not known before rendering.
    if let [Some(name)] = &of_file[..] {
        head.environment = Some(name.clone());
    }
    head
}

/// The key that starts at the first column of a line.
fn top_key(line: &str) -> Option<&str> {
    if line.starts_with([' ', '\t', '#', '-', '{']) {
        return None;
    }
    let (key, rest) = line.split_once(':')?;
    let starts_value = rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']);
    starts_value.then(|| key.trim().trim_matches(['"', '\'']))
}

/// Whether a line is part of the value of the key above it.
fn continues(line: &str, list: bool) -> bool {
    let blank = line.trim().is_empty();
    blank
        || line.starts_with([' ', '\t', '#', '}', ']'])
        || (list && line.starts_with('-'))
        || (list && line.starts_with('{'))
}

/// The pipelines of a block list that name an environment.
fn environments(block: &[Line<'_>], end: usize) -> Vec<(Range<usize>, String)> {
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let item = |line: &str| line.trim_start_matches(' ').starts_with("- ") || line.trim() == "-";
    let Some(outer) = block[1..].iter().find(|(_, line)| item(line)).map(|(_, line)| indent(line)) else {
        return Vec::new();
    };
    let mut found: Vec<(Range<usize>, Option<String>)> = Vec::new();
    let mut inner = None;
    for (start, line) in &block[1..] {
        let mut key = line.trim_start_matches(' ');
        let mut column = indent(line);
        if column == outer && item(line) {
            if let Some((range, _)) = found.last_mut() {
                range.end = *start;
            }
            found.push((*start..end, None));
            key = key[1..].trim_start_matches(' ');
            column = line.len() - key.len();
            inner = (!key.trim().is_empty()).then_some(column);
        } else if inner.is_none() && !key.trim().is_empty() && !key.starts_with('#') {
            inner = Some(column);
        }
        if inner == Some(column)
            && let Some(name) = key.strip_prefix("environment:").and_then(literal)
            && let Some((_, environment)) = found.last_mut()
        {
            *environment = Some(name);
        }
    }
    found.into_iter().filter_map(|(range, name)| Some((range, name?))).collect()
}

/// A plain or quoted text on one line, if no template has a part in it.
fn literal(text: &str) -> Option<String> {
    let text = text.split(" #").next().unwrap_or_default().trim();
    let text = match text.as_bytes() {
        [b'"', .., b'"'] | [b'\'', .., b'\''] => &text[1..text.len() - 1],
        _ => text,
    };
    let word = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    (!text.is_empty() && text.chars().all(word)).then(|| text.to_owned())
}

/// A file that is one flow mapping, JSON above all: it can be parsed as long as its tags stand in quotes.
fn flow_head(text: &str) -> Head {
    let mut head = Head::default();
    // The keys and indexes that lead to the present value; an index is empty text.
    let mut path: Vec<String> = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { break };
        let Some(range) = span.byte_range() else { break };
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                path.push(open.last_mut().map_or_else(String::new, Open::step));
                let list = matches!(event, Event::SequenceStart(..));
                open.push(Open { start: range.start, list, key: None, environment: None });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                let Some(closed) = open.pop() else { break };
                let whole = closed.start..range.end;
                match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                    ["", "vars"] => head.vars.push(whole),
                    ["", "pipelines", ""] => head.environments.extend(closed.environment.map(|name| (whole, name))),
                    _ => {}
                }
                path.pop();
            }
            Event::Scalar(value, ..) => {
                let Some(parent) = open.last_mut() else { break };
                if parent.list || parent.key.is_some() {
                    let key = parent.step();
                    if key == "environment" {
                        parent.environment = literal(&value);
                        if path.len() == 1 {
                            head.environment = literal(&value);
                        }
                    } else if key == "vars" && path.len() == 1 {
                        head.vars.push(range);
                    }
                } else {
                    parent.key = Some(value.into_owned());
                }
            }
            _ => {}
        }
    }
    head
}

/// A list or mapping of a flow file.
struct Open {
    start: usize,
    list: bool,
    key: Option<String>,
    environment: Option<String>,
}

impl Open {
    /// The step to the value that comes now.
    fn step(&mut self) -> String {
        self.key.take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (Vec<&str>, Vec<(&str, String)>) {
        let head = Head::new(text);
        let environments = head.environments.iter().map(|(range, name)| (&text[range.clone()], name.clone())).collect();
        (head.vars.iter().map(|range| &text[range.clone()]).collect(), environments)
    }

    #[test]
    fn block_files_are_read_by_their_lines() {
        let text = "application: shop\nvars:\n  a: 1\n\n  # c\n  b: {\n}\npipelines:\n  - name: x\n    environment: eu # here\n    stages:\n      - environment: no\n  -\n    name: y\n  - environment: 'us'\n{% if x %}\n";
        let (vars, environments) = parts(text);
        assert_eq!(vars, ["vars:\n  a: 1\n\n  # c\n  b: {\n}\n"]);
        assert_eq!(Head::new(text).environment, None);
        let of_file = |text: &str| Head::new(text).environment;
        assert_eq!(of_file("a: 1\nenvironment: 'eu' # here\n").as_deref(), Some("eu"));
        for text in ["environment: eu\n{% if x %}\nenvironment: us\n{% endif %}\n", "environment: {{ e }}\n"] {
            assert_eq!(of_file(text), None);
        }
        let first = "  - name: x\n    environment: eu # here\n    stages:\n      - environment: no\n";
        let last = "  - environment: 'us'\n{% if x %}\n";
        assert_eq!(environments, [(first, "eu".to_owned()), (last, "us".to_owned())]);
    }

    #[test]
    fn what_a_template_yields_is_not_literal() {
        let (vars, environments) = parts(
            "{% if x %}\n\"vars\": {a: 1}\n{% endif %}\npipelines:\n- name: x\n  environment: {{ e }}\n- {{ module('y') }}\n",
        );
        assert_eq!(vars, ["\"vars\": {a: 1}\n"]);
        assert_eq!(environments, []);
    }

    #[test]
    fn flow_files_are_read_by_their_events() {
        let text = r#"{"application": "shop", "vars": {"a": {"vars": 1}}, "x": {"vars": {}},
          "pipelines": [{"name": "x", "environment": "eu", "stages": [{"environment": "no"}]}, {"name": "{{ y }}"}]}"#;
        let (vars, environments) = parts(text);
        assert_eq!(vars, [r#"{"a": {"vars": 1}}"#]);
        assert_eq!(environments.len(), 1);
        assert_eq!(environments[0].1, "eu");
        assert_eq!(Head::new(r#"{"environment": "eu", "pipelines": []}"#).environment.as_deref(), Some("eu"));
        assert!(environments[0].0.starts_with("{\"name\": \"x\""));
        assert!(Head::new("{ {{ x }}").vars.is_empty());
    }
}
