//! The fields of a stage with the values in them.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use super::{Masker, SecretError, Secrets};
use crate::model::{NewExecution, SecretName, SecretUse};

/// Fields with the values of secrets in them. Neither shown nor written anywhere: it lives as long as its use.
pub struct Revealed {
    /// A mapping.
    fields: Value,
    secret: Vec<String>,
    masker: Masker,
}

/// Nothing of what is inside.
impl std::fmt::Debug for Revealed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Revealed({:?})", self.secret)
    }
}

impl Revealed {
    /// All fields, as a mapping, with values.
    pub fn fields(&self) -> &Value {
        &self.fields
    }

    /// The text at a JSON pointer, with values.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.fields.pointer(pointer)?.as_str()
    }

    /// Whether the text at a JSON pointer holds the value of a secret.
    pub fn is_secret(&self, pointer: &str) -> bool {
        self.secret.iter().any(|secret| secret == pointer)
    }

    /// Whether there is any value of a secret.
    pub fn has_secrets(&self) -> bool {
        !self.secret.is_empty()
    }

    /// Keeps these values, and every other that is known, out of what comes back.
    pub fn masker(&self) -> &Masker {
        &self.masker
    }
}

impl Secrets {
    /// Puts the values of the secrets in a stage's fields into their places. `uses` is what the engine recorded when it
    /// evaluated the author's templates; the fields themselves are never searched.
    ///
    /// # Errors
    /// If the execution may not use one of them, or its source has no value.
    pub async fn reveal(
        &self,
        execution: &NewExecution,
        fields: &Map<String, Value>,
        uses: &[SecretUse],
    ) -> Result<Revealed, SecretError> {
        let mut values: BTreeMap<&SecretName, SecretString> = BTreeMap::new();
        for used in uses {
            if !values.contains_key(&used.name) {
                values.insert(&used.name, self.fetch(&used.name, execution).await?);
            }
        }
        let masker = self.masker();
        let mut fields = Value::Object(fields.clone());
        // From the end, so that what is put in doesn't move what is still to come.
        for used in uses.iter().rev() {
            let place = || SecretError::Misplaced { name: used.name.clone(), pointer: used.pointer.clone() };
            let Some(Value::String(text)) = fields.pointer_mut(&used.pointer) else { return Err(place()) };
            if text.get(used.start..used.end) != Some(used.name.reference().as_str()) {
                return Err(place());
            }
            let value = values.get(&used.name).ok_or_else(place)?;
            text.replace_range(used.start..used.end, value.expose_secret());
        }
        let mut secret: Vec<String> = uses.iter().map(|used| used.pointer.clone()).collect();
        secret.dedup();
        Ok(Revealed { fields, secret, masker })
    }
}
