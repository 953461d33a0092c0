//! What an expression refers to, told without running it.

/// One mention of a variable, with the keys that follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The variable and the keys below it, as far as they are written out:
    /// `["stages", "build", "outputs", "image"]`.
    pub path: Vec<String>,
    /// Where the variable stands in the expression, in characters from its start.
    pub offset: usize,
}
