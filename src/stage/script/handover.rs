//! What a supervisor is told through its standard input: neither a file, nor an argument, nor an environment that
//! other processes could read holds a secret on its way to the script.

use std::collections::BTreeMap;
use std::io::{self, Read};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::secret::Masker;

/// More than the values of all secrets that a server can know.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Secrets for a script, and what is to be kept out of its log. It is never shown.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Handover {
    /// Variables of the script whose values are secret.
    pub(super) env: BTreeMap<String, String>,
    /// The values to mask; those in the variables are among them.
    masked: Vec<String>,
}

impl Handover {
    pub(super) fn new(env: BTreeMap<String, String>, masked: &[SecretString]) -> Self {
        Self { env, masked: masked.iter().map(|value| value.expose_secret().to_owned()).collect() }
    }

    /// Whether there is nothing to hand over.
    pub(super) fn is_empty(&self) -> bool {
        self.env.is_empty() && self.masked.is_empty()
    }

    /// What goes through the pipe.
    pub(super) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|_| io::Error::other("the script's secrets can't be handed over"))
    }

    /// Reads all that comes, to the end. If Longboat dies in the middle of it, nothing is begun.
    pub(super) fn read(from: impl Read) -> io::Result<Self> {
        let mut bytes = Vec::new();
        from.take(MAX_BYTES).read_to_end(&mut bytes)?;
        // The parser's message could quote what it read.
        serde_json::from_slice(&bytes).map_err(|_| io::Error::other("the script's secrets did not come in whole"))
    }

    /// Keeps the values out of what the script says.
    pub(super) fn masker(&self) -> Masker {
        let values: Vec<SecretString> = self.masked.iter().map(|value| SecretString::from(value.as_str())).collect();
        Masker::new(&values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_over_comes_in_whole_or_not_at_all() {
        let env = BTreeMap::from([("TOKEN".to_owned(), "Bearer s3cr3t-value\nü".to_owned())]);
        let bytes = Handover::new(env.clone(), &["other-value", "s3cr3t-value"].map(SecretString::from))
            .to_bytes()
            .expect("written");
        let read = Handover::read(bytes.as_slice()).expect("read");
        assert_eq!(read.env, env);
        assert_eq!(read.masker().mask("other-value, Bearer s3cr3t-value\nü"), "***, Bearer ***\nü");
        for cut in 0..bytes.len() {
            let error = Handover::read(&bytes[..cut]).err().expect("refused").to_string();
            assert_eq!(error, "the script's secrets did not come in whole");
        }
    }
}
