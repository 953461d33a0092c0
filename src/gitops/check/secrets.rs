//! The secrets that pipelines name: gathered while files are read, judged by whoever knows the operator's rules.

use serde::{Deserialize, Serialize};

use super::{Checked, in_order};
use crate::config::{SecretRefusal, SecretRules, SecretUser};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{ApplicationName, RepositoryName, SecretName};

/// A place where a pipeline names a secret, and may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretMention {
    /// The secret.
    pub name: SecretName,
    /// The application, if it can be told.
    pub application: Option<ApplicationName>,
    /// A finding at that place, whose words are still to come.
    pub at: Diagnostic,
}

impl SecretMention {
    pub(super) fn new(name: SecretName, at: Diagnostic) -> Self {
        Self { name, application: None, at }
    }

    pub(super) fn skeleton() -> Diagnostic {
        Diagnostic::error(Code::SecretRefused, String::new())
    }
}

impl Checked {
    /// Adds a finding for every secret that doesn't exist or isn't for its pipeline; the applications concerned are
    /// not valid then. `branch` is the one whose definitions these are to be; none, if they are to be nobody's: then
    /// it is not asked for which branches a secret is.
    pub fn judge_secrets(&mut self, rules: &SecretRules, repository: &RepositoryName, branch: Option<&str>) {
        let before = self.findings.len();
        for mention in &self.secrets {
            let Some(application) = &mention.application else { continue };
            let user = SecretUser { repository: Some(repository), application, branch };
            let Err(refusal) = rules.check(&mention.name, user) else { continue };
            if refusal.is_for_want_of_a_branch() {
                continue;
            }
            if let Some(application) = self.applications.iter_mut().find(|other| other.name == *application) {
                application.valid = false;
            }
            self.findings.push(finding(mention, &refusal));
        }
        if self.findings.len() > before {
            self.findings = in_order(std::mem::take(&mut self.findings));
        }
    }
}

fn finding(mention: &SecretMention, refusal: &SecretRefusal) -> Diagnostic {
    let mut finding = mention.at.clone();
    finding.message = refusal.to_string();
    let hint = match refusal {
        SecretRefusal::Unknown { near: Some(near), .. } => format!("did you mean `{near}`?"),
        SecretRefusal::Unknown { near: None, .. } => {
            "the operator adds it to `secrets` in the configuration".to_owned()
        }
        _ => "the operator says in the configuration who may use it".to_owned(),
    };
    if matches!(refusal, SecretRefusal::Unknown { .. }) {
        finding.code = Code::UnknownSecret;
    }
    finding.hint(hint)
}
