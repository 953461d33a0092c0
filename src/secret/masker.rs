//! Keeps values out of texts.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, BuildError};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use super::forms::forms;
use crate::config::MIN_SECRET;

/// What stands where a value stood.
pub(super) const MASK: &str = "***";

/// Replaces values, in all the forms that [`super`] names, by `***`. Cheap to clone.
#[derive(Clone, Default)]
pub struct Masker(Option<Arc<Patterns>>);

struct Patterns {
    search: AhoCorasick,
    all: Vec<Vec<u8>>,
    longest: usize,
}

/// Neither values nor patterns are ever shown.
impl fmt::Debug for Masker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Masker")
    }
}

/// So many beginnings of a pattern are tried one by one.
const FEW: usize = 64;

impl Masker {
    /// A masker for these values. Values of fewer than six bytes are left alone: hiding them would hide half of every
    /// text.
    pub fn new<'v>(values: impl IntoIterator<Item = &'v SecretString>) -> Self {
        let all: BTreeSet<Vec<u8>> = values
            .into_iter()
            .map(|value| value.expose_secret())
            .filter(|value| value.trim().len() >= MIN_SECRET)
            .flat_map(forms)
            .collect();
        if all.is_empty() {
            return Self(None);
        }
        // Patterns of plain bytes, far fewer than what the automaton can number.
        let Ok(search) = search_for(&all) else { return Self::everything() };
        let longest = all.iter().map(Vec::len).max().unwrap_or(0);
        Self(Some(Arc::new(Patterns { search, all: all.into_iter().collect(), longest })))
    }

    /// Rather nothing is shown than something that must not be.
    fn everything() -> Self {
        let all: Vec<Vec<u8>> = (0..=u8::MAX).map(|byte| vec![byte]).collect();
        match search_for(&all) {
            Ok(search) => Self(Some(Arc::new(Patterns { search, all, longest: 1 }))),
            Err(_) => Self(None),
        }
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The text without the values.
    pub fn mask(&self, text: &str) -> String {
        let Some(patterns) = self.0.as_deref().filter(|patterns| patterns.search.is_match(text)) else {
            return text.to_owned();
        };
        let mut out = Vec::with_capacity(text.len());
        patterns.replace(text.as_bytes(), 0, text.len(), &mut out);
        // A form of a text is a text of whole characters, so what is left is one, too.
        String::from_utf8(out).unwrap_or_else(|_| MASK.to_owned())
    }

    /// Masks every text in a value, keys included.
    pub fn mask_value(&self, value: &mut Value) {
        if self.is_empty() {
            return;
        }
        match value {
            Value::String(text) => self.mask_in_place(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_value(item)),
            Value::Object(map) => self.mask_map(map),
            Value::Number(number) => {
                let text = number.to_string();
                let masked = self.mask(&text);
                if masked != text {
                    *value = Value::String(masked);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// Masks every text in a mapping, keys included.
    pub fn mask_map(&self, map: &mut Map<String, Value>) {
        if self.is_empty() {
            return;
        }
        map.values_mut().for_each(|value| self.mask_value(value));
        if map.keys().any(|key| self.mask(key) != *key) {
            *map = std::mem::take(map).into_iter().map(|(key, value)| (self.mask(&key), value)).collect();
        }
    }

    fn mask_in_place(&self, text: &mut String) {
        if self.0.as_deref().is_some_and(|patterns| patterns.search.is_match(text.as_str())) {
            *text = self.mask(text);
        }
    }

    /// A masker for a text that comes in pieces.
    pub fn stream(&self) -> MaskStream {
        MaskStream { masker: self.clone(), held: Vec::new(), hidden: 0 }
    }
}

/// Of the library's automatons the small one: the fastest takes minutes to build for a long value.
fn search_for<P: AsRef<[u8]>>(all: impl IntoIterator<Item = P>) -> Result<AhoCorasick, BuildError> {
    AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(all)
}

impl Patterns {
    /// The stretches of `text` that must not be seen, joined where they overlap, in order. The first `hidden` bytes
    /// count as one.
    fn stretches(&self, text: &[u8], hidden: usize) -> Vec<(usize, usize)> {
        let mut found: Vec<(usize, usize)> =
            self.search.find_overlapping_iter(text).map(|hit| (hit.start(), hit.end())).collect();
        if hidden > 0 {
            found.push((0, hidden));
        }
        found.sort_unstable();
        let mut joined: Vec<(usize, usize)> = Vec::with_capacity(found.len());
        for (start, end) in found {
            match joined.last_mut() {
                Some(last) if start < last.1 => last.1 = last.1.max(end),
                _ => joined.push((start, end)),
            }
        }
        joined
    }

    /// Writes `text[..cut]` without what must not be seen. The first `hidden` bytes belong to a stretch that was
    /// replaced before. Yields how many bytes from `cut` on belong to a stretch that is replaced by now.
    fn replace(&self, text: &[u8], hidden: usize, cut: usize, out: &mut Vec<u8>) -> usize {
        let mut at = 0;
        for (start, end) in self.stretches(text, hidden) {
            if start >= cut {
                break;
            }
            out.extend_from_slice(&text[at..start]);
            if !(start == 0 && hidden > 0) {
                out.extend_from_slice(MASK.as_bytes());
            }
            at = end;
        }
        if at > cut {
            return at - cut;
        }
        out.extend_from_slice(&text[at..cut]);
        0
    }

    /// From where on the end of `text` may be the beginning of something that must not be seen.
    fn open_end(&self, text: &[u8]) -> usize {
        let from = text.len().saturating_sub(self.longest.saturating_sub(1));
        let tail = &text[from..];
        let kept = self.all.iter().map(|pattern| longest_overlap(tail, pattern)).max().unwrap_or(0);
        text.len() - kept
    }
}

/// The length of the longest end of `text` that is a beginning of `pattern`, and not the whole of it.
fn longest_overlap(text: &[u8], pattern: &[u8]) -> usize {
    let most = text.len().min(pattern.len() - 1);
    let end = &text[text.len() - most..];
    // Seldom does a text end like a secret, so the first byte rules out nearly everything.
    let mut at = 0;
    for _ in 0..FEW {
        let Some(found) = end[at..].iter().position(|byte| *byte == pattern[0]) else { return 0 };
        at += found;
        let length = end.len() - at;
        if end[at..] == pattern[..length] {
            return length;
        }
        at += 1;
    }
    overlap_in_linear_time(&end[at..], pattern)
}

/// The same for texts that are made to cost a lot (Knuth, Morris and Pratt's way).
fn overlap_in_linear_time(text: &[u8], pattern: &[u8]) -> usize {
    let mut fallback = vec![0; pattern.len()];
    let mut length = 0;
    for at in 1..pattern.len() {
        while length > 0 && pattern[at] != pattern[length] {
            length = fallback[length - 1];
        }
        length += usize::from(pattern[at] == pattern[length]);
        fallback[at] = length;
    }
    let mut length = 0;
    for byte in text {
        while length > 0 && (length == pattern.len() || *byte != pattern[length]) {
            length = fallback[length - 1];
        }
        length += usize::from(*byte == pattern[length]);
    }
    length
}

/// Masks a text that comes in pieces, also where a value is cut by them. Only what may be the beginning of a value is
/// held back.
#[derive(Debug)]
pub struct MaskStream {
    masker: Masker,
    /// What came and was not given out.
    held: Vec<u8>,
    /// How many bytes at the beginning of `held` were replaced already.
    hidden: usize,
}

impl MaskStream {
    /// Takes a piece; yields what can be shown by now.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        let Some(patterns) = self.masker.0.clone() else { return piece.to_vec() };
        self.held.extend_from_slice(piece);
        let cut = patterns.open_end(&self.held);
        self.give(&patterns, cut)
    }

    /// Yields the rest.
    pub fn finish(mut self) -> Vec<u8> {
        let Some(patterns) = self.masker.0.clone() else { return Vec::new() };
        let cut = self.held.len();
        self.give(&patterns, cut)
    }

    fn give(&mut self, patterns: &Patterns, cut: usize) -> Vec<u8> {
        if cut == 0 {
            return Vec::new();
        }
        let mut out = Vec::with_capacity(cut);
        let hidden = self.hidden.min(self.held.len());
        self.hidden = patterns.replace(&self.held, hidden, cut, &mut out);
        self.held.drain(..cut);
        out
    }
}
