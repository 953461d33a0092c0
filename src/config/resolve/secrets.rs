//! The secrets that pipelines may use. Their values are fetched when they are used, so one that isn't there yet is no
//! error here.

use indexmap::IndexMap;
use secrecy::ExposeSecret as _;

use super::Work;
use crate::config::file::SecretSection;
use crate::config::{MIN_SECRET, Names, Secret, SecretAccess, SecretPlace};
use crate::diagnostic::Code;
use crate::model::SecretName;

impl Work<'_> {
    pub(super) fn secrets(
        &mut self,
        sections: IndexMap<String, SecretSection>,
        repositories: usize,
    ) -> IndexMap<SecretName, Secret> {
        let mut secrets = IndexMap::new();
        for (key, section) in sections {
            let pointer = format!("/secrets/{}", key.replace('~', "~0").replace('/', "~1"));
            let name = self.named(&key, &pointer, SecretName::parse);
            let secret = self.pipeline_secret(&key, &pointer, section, repositories);
            if let (Some(name), Some(secret)) = (name, secret) {
                secrets.insert(name, secret);
            }
        }
        secrets
    }

    fn pipeline_secret(
        &mut self,
        key: &str,
        pointer: &str,
        section: SecretSection,
        repositories: usize,
    ) -> Option<Secret> {
        let open = section.repositories.is_none() && section.applications.is_none();
        let access = SecretAccess {
            repositories: self.names(section.repositories, &format!("{pointer}/repositories")),
            applications: self.names(section.applications, &format!("{pointer}/applications")),
            branches: self.names(section.branches, &format!("{pointer}/branches")),
        };
        let source = match (section.env, section.file) {
            (Some(name), None) => {
                match (self.environment)(&name) {
                    None => self.warn(
                        &format!("{pointer}/env"),
                        Code::SecretUnavailable,
                        format!(
                            "the environment variable `{name}` is not set: stages that use the secret `{key}` fail"
                        ),
                        "set it before Longboat starts",
                    ),
                    Some(value) => self.refuse_weak(key, &format!("{pointer}/env"), &value),
                }
                SecretPlace::Env(name)
            }
            (None, Some(path)) => {
                let path = self.base.join(path);
                match super::values::read_secret(&path) {
                    Err(error) => self.warn(
                        &format!("{pointer}/file"),
                        Code::SecretUnavailable,
                        format!(
                            "the file `{}` can't be read: {error}; stages that use the secret `{key}` fail",
                            path.display()
                        ),
                        "it may come later: the file is read each time that the secret is used",
                    ),
                    Ok(value) => self.refuse_weak(key, &format!("{pointer}/file"), value.expose_secret()),
                }
                SecretPlace::File(path)
            }
            _ => {
                if self.tree.at(pointer).is_some_and(|tree| matches!(tree.data, super::Data::Map(_))) {
                    self.error(
                        pointer,
                        Code::ConflictingKeys,
                        format!("the secret `{key}` needs exactly one of `env` and `file`"),
                        "write `{env: NAME}` or `{file: PATH}`",
                    );
                }
                return None;
            }
        };
        if open && repositories > 1 {
            self.warn(
                pointer,
                Code::SecretRefused,
                format!("the secret `{key}` is for every one of the {repositories} repositories"),
                "add `repositories: [owner/name]`, or `repositories: [\"**\"]` if that is meant",
            );
        }
        Some(Secret { source, access })
    }

    /// What is too short to be masked is told now, and not when a stage fails for it.
    fn refuse_weak(&mut self, key: &str, pointer: &str, value: &str) {
        if value.trim().len() < MIN_SECRET {
            self.error(
                pointer,
                Code::WeakSecret,
                format!("the secret `{key}` is shorter than {MIN_SECRET} bytes, which can't be kept out of logs"),
                "choose a longer one; what is no secret belongs into the pipeline's files",
            );
        }
    }

    pub(super) fn names(&mut self, patterns: Option<Vec<String>>, pointer: &str) -> Option<Names> {
        let patterns = patterns?;
        match Names::parse(&patterns) {
            Ok(names) => Some(names),
            Err((index, reason)) => {
                let message = format!("`{}` is not a pattern: {reason}", patterns[index]);
                let hint = "write names; `*` is any part of one up to a `/`, `**` any part at all";
                self.error(&format!("{pointer}/{index}"), Code::BadPattern, message, hint);
                None
            }
        }
    }
}
