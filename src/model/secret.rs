//! Secrets as everybody may see them: by name, never by value.

use serde::{Deserialize, Serialize};

use super::SecretName;

impl SecretName {
    /// What stands in a field's text where the value will be: `***name***`. It is for people; what counts is the
    /// [`SecretUse`] that goes with it, so that no other text can pass for a reference.
    pub fn reference(&self) -> String {
        format!("***{self}***")
    }
}

/// Where the value of a secret belongs in an evaluated field. Made from the author's template alone: nothing that an
/// expression yields can become one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretUse {
    /// JSON pointer of the field's text.
    #[serde(rename = "p")]
    pub pointer: String,
    /// Which secret.
    #[serde(rename = "n")]
    pub name: SecretName,
    /// The first byte of the reference in the text.
    #[serde(rename = "s")]
    pub start: usize,
    /// The byte after the reference.
    #[serde(rename = "e")]
    pub end: usize,
}
