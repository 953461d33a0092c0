//! How the findings of both checks are put.

use crate::forge::{CheckItem, CheckVerdict, ForgeError, ForgeErrorKind};

pub(super) fn item(subject: &str, verdict: CheckVerdict, message: String) -> CheckItem {
    CheckItem::new(subject, verdict, message)
}

pub(super) fn no_token(forge: &str) -> CheckItem {
    item("token", CheckVerdict::Bad, format!("the forge `{forge}` has no `token`: nothing is posted there"))
}

/// What trouble says about the thing that was looked at: nothing, if the forge is what is in trouble.
pub(super) fn verdict_of(error: &ForgeError) -> CheckVerdict {
    match error.kind {
        ForgeErrorKind::Unreachable | ForgeErrorKind::Server | ForgeErrorKind::RateLimited { .. } => {
            CheckVerdict::Unknown
        }
        _ => CheckVerdict::Bad,
    }
}

/// What a webhook that points to `address` lacks. `secret` is none if it isn't told whether there is one.
pub(super) fn judge(
    address: &str,
    active: bool,
    secret: Option<bool>,
    wanted: &[&str],
    push: &str,
    events: &[String],
) -> CheckItem {
    let subject = "webhook";
    if !active {
        return item(subject, CheckVerdict::Bad, format!("the webhook to {address} is switched off"));
    }
    if secret == Some(false) {
        let message = format!("the webhook to {address} has no secret: give it the forge's `webhookSecret`");
        return item(subject, CheckVerdict::Bad, message);
    }
    let missing: Vec<&str> = wanted.iter().copied().filter(|event| !events.iter().any(|own| own == event)).collect();
    if missing.is_empty() {
        return item(subject, CheckVerdict::Good, format!("it points to {address} and tells of everything"));
    }
    let verdict = if missing.contains(&push) { CheckVerdict::Bad } else { CheckVerdict::Warning };
    item(subject, verdict, format!("the webhook doesn't send {}: tick them in its settings", missing.join(", ")))
}
