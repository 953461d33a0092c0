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

/// What is looked for among the webhooks of a repository.
pub(super) struct Wanted<'a> {
    /// The forge's name in the configuration.
    pub(super) forge: &'a str,
    /// Where Longboat's own points to; none if that isn't known.
    pub(super) address: Option<&'a String>,
    /// Whether webhooks have a secret, by the configuration.
    pub(super) secret: bool,
    /// The events that Longboat acts on, first the one of a push.
    pub(super) events: &'a [&'a str],
    /// Who may look at webhooks, if this token may not.
    pub(super) permission: &'a str,
    /// What else can have webhooks that tell of the repository.
    pub(super) above: &'a str,
}

/// A webhook as both tell it.
pub(super) struct Hook {
    pub(super) url: Option<String>,
    pub(super) active: bool,
    /// None if it isn't told whether there is one.
    pub(super) secret: Option<bool>,
    pub(super) events: Vec<String>,
}

impl Wanted<'_> {
    /// What the webhook lacks; `hooks` is asked only if its answer can help.
    pub(super) async fn judge(&self, hooks: impl Future<Output = Result<Vec<Hook>, ForgeError>>) -> CheckItem {
        let webhook = |verdict, message| item("webhook", verdict, message);
        let Some(address) = self.address else {
            let message = "`server.publicUrl` is not set, so it isn't known which webhook is Longboat's".to_owned();
            return webhook(CheckVerdict::Unknown, message);
        };
        if !self.secret {
            let message = format!("the forge `{}` has no `webhookSecret`: webhooks are refused", self.forge);
            return webhook(CheckVerdict::Bad, message);
        }
        let hooks = match hooks.await {
            Ok(hooks) => hooks,
            Err(error) if error.kind == ForgeErrorKind::Forbidden => {
                let message = format!("{}; see to it in the repository's settings, under Webhooks", self.permission);
                return webhook(CheckVerdict::Unknown, message);
            }
            Err(error) => return webhook(verdict_of(&error), error.message),
        };
        let Some(hook) = hooks.into_iter().find(|hook| hook.url.as_ref() == Some(address)) else {
            let message = format!(
                "no webhook of the repository points to {address}: add one in its settings (one of the {} would do as well)",
                self.above
            );
            return webhook(CheckVerdict::Warning, message);
        };
        if !hook.active {
            return webhook(CheckVerdict::Bad, format!("the webhook to {address} is switched off"));
        }
        if hook.secret == Some(false) {
            let message = format!("the webhook to {address} has no secret: give it the forge's `webhookSecret`");
            return webhook(CheckVerdict::Bad, message);
        }
        let missing: Vec<&str> =
            self.events.iter().copied().filter(|event| !hook.events.iter().any(|own| own == event)).collect();
        if missing.is_empty() {
            return webhook(CheckVerdict::Good, format!("it points to {address} and tells of everything"));
        }
        let push = self.events.first().is_some_and(|push| missing.contains(push));
        let verdict = if push { CheckVerdict::Bad } else { CheckVerdict::Warning };
        webhook(verdict, format!("the webhook doesn't send {}: tick them in its settings", missing.join(", ")))
    }
}
