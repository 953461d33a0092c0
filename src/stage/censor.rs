//! Keeps secrets out of what stages answer: outputs, messages, checkpoints. It knows nothing of the stage types, so
//! none of them can forget it.

use std::sync::Arc;

use crate::engine::{Censor, Failure, Outcome};
use crate::secret::{Masker, Secrets};

/// Masks every answer by what is known at that moment.
pub(super) fn censor(secrets: Secrets) -> Censor {
    Arc::new(move |outcome| {
        let masker = secrets.masker();
        if !masker.is_empty() {
            mask(outcome, &masker);
        }
    })
}

fn mask(outcome: &mut Outcome, masker: &Masker) {
    match outcome {
        Outcome::Done { outputs } => masker.mask_map(outputs),
        Outcome::Wait { until: _, waiting_for, checkpoint } => {
            *waiting_for = masker.mask(waiting_for);
            masker.mask_value(checkpoint);
        }
        Outcome::Poll { after: _, checkpoint } => masker.mask_value(checkpoint),
        Outcome::Fail(Failure { message, retryable: _, outputs, on_failure: _ }) => {
            *message = masker.mask(message);
            masker.mask_map(outputs);
        }
        Outcome::Restart { reason } => *reason = masker.mask(reason),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use indexmap::IndexMap;
    use secrecy::SecretString;
    use serde_json::json;

    use super::*;

    #[test]
    fn no_kind_of_answer_lets_a_secret_through() {
        let censor = censor(Secrets::of(&IndexMap::new(), vec![SecretString::from("s3cr3t-value")]));
        let map = || json!({"a": ["Bearer s3cr3t-value"]}).as_object().cloned().expect("a map");
        let text = || "said s3cr3t-value".to_owned();
        for mut outcome in [
            Outcome::Done { outputs: map() },
            Outcome::Wait { until: None, waiting_for: text(), checkpoint: map().into() },
            Outcome::Poll { after: Duration::ZERO, checkpoint: map().into() },
            Outcome::Fail(Failure { message: text(), retryable: true, outputs: map(), on_failure: None }),
            Outcome::Restart { reason: text() },
        ] {
            censor(&mut outcome);
            let shown = format!("{outcome:?}");
            assert!(shown.contains("***") && !shown.contains("s3cr3t"), "{shown}");
        }
    }
}
