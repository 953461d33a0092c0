//! Patterns of parameters: regular expressions that the whole text has to match.

use regex::{Regex, RegexBuilder};

/// The longest pattern, in bytes.
const MAX_LENGTH: usize = 1000;
/// The most memory that a compiled pattern may take, in bytes, and as much again for what matching it keeps.
const MAX_SIZE: usize = 256 * 1024;
/// How deep groups may nest.
const MAX_NEST: u32 = 50;

/// A pattern, compiled.
#[derive(Debug)]
pub(in crate::gitops::render) struct Pattern {
    /// As it is written.
    pub(in crate::gitops::render) text: String,
    compiled: Regex,
}

impl Pattern {
    /// Compiles a pattern; the error says what is wrong with it. Matching takes time in proportion to the text.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("it has {} bytes; the limit is {MAX_LENGTH}", text.len()));
        }
        let compile = |text: &str| {
            RegexBuilder::new(text).size_limit(MAX_SIZE).dfa_size_limit(MAX_SIZE).nest_limit(MAX_NEST).build()
        };
        // By itself first, so that one like `a)|(b` is not made good by the group around it.
        compile(text).map_err(|error| explain(&error))?;
        let compiled = compile(&format!(r"\A(?:{text})\z")).map_err(|error| explain(&error))?;
        Ok(Self { text: text.to_owned(), compiled })
    }

    /// Whether the whole text matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }
}

/// The last line of the error; those above it draw the pattern.
fn explain(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => {
            "it needs too much memory: repeat less, and write `[A-Za-z0-9_]` instead of `\\w`".to_owned()
        }
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        }
    }
}
