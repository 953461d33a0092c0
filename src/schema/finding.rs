//! What a schema objects to.

/// One thing that is wrong with a value.
#[derive(Debug, Clone, PartialEq)]
pub struct SchemaFinding {
    /// JSON pointer of the value, from the checked one.
    pub pointer: String,
    /// What kind of fault it is.
    pub kind: SchemaFindingKind,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to write instead, if that can be told.
    pub hint: Option<String>,
}

/// The kinds of faults.
#[derive(Debug, Clone, PartialEq)]
pub enum SchemaFindingKind {
    /// A key that isn't known here.
    UnknownKey {
        /// The key.
        key: String,
        /// A known key that looks like it.
        nearest: Option<String>,
    },
    /// A value of the wrong type.
    WrongType {
        /// The types that are right, in words.
        expected: String,
        /// The value's type, in words.
        found: String,
    },
    /// A key that must be there.
    Missing {
        /// The key.
        key: String,
    },
    /// A value that is none of those allowed, or breaks a rule.
    NotAllowed {
        /// The allowed values, if they can be listed.
        allowed: Vec<String>,
    },
}

impl SchemaFinding {
    pub(super) fn other(pointer: String, message: String) -> Self {
        Self { pointer, kind: SchemaFindingKind::NotAllowed { allowed: Vec::new() }, message, hint: None }
    }
}
