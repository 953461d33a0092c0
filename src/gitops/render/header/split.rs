//! Where a module's header ends and its body starts.

use std::ops::Range;

/// Where the parts of a module's file are.
pub(in crate::gitops::render) struct Parts {
    /// The header, in bytes.
    pub(in crate::gitops::render) header: Range<usize>,
    /// Where the body starts; nothing if no line `---` follows.
    pub(in crate::gitops::render) body: Option<usize>,
}

/// Finds the header: a first document whose first key is `module`, up to a line `---`.
pub(in crate::gitops::render) fn split(text: &str) -> Option<Parts> {
    let mut at = 0;
    let mut start = None;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end();
        let separator = content == "---" || content.starts_with("--- ");
        match start {
            None if content.is_empty() || content.starts_with('#') || content == "---" => {}
            None if content.split(':').next().is_some_and(is_module_key) => start = Some(at),
            None => return None,
            Some(header) if separator => {
                return Some(Parts {
                    header: header..at,
                    body: Some(at + if content == "---" { line.len() } else { 4 }),
                });
            }
            Some(_) => {}
        }
        at += line.len();
    }
    start.map(|header| Parts { header: header..text.len(), body: None })
}

fn is_module_key(text: &str) -> bool {
    matches!(text.trim_start_matches('{').trim().trim_matches(['"', '\'']), "module")
}
