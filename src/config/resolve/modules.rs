//! The module repositories: what each is called, where it is, and what of it counts.

use std::time::Duration;

use indexmap::IndexMap;

use super::Work;
use super::repositories::{forge_credentials, tidy_path};
use crate::config::file::{DependentsWord, ModulesSection};
use crate::config::modules::{MODULE_FOLDER, MODULE_REPOSITORY_RULE, is_module_repository_name, module_folder};
use crate::config::{Dependents, Forge, Location, ModuleRepository, ModuleSource, Repository};
use crate::diagnostic::{Code, nearest};

impl Work<'_> {
    pub(super) fn modules(
        &mut self,
        sections: IndexMap<String, ModulesSection>,
        repositories: &[Repository],
        forges: &IndexMap<String, Forge>,
    ) -> Vec<ModuleRepository> {
        let named = sections.into_iter();
        named.filter_map(|(name, section)| self.module_repository(name, section, repositories, forges)).collect()
    }

    fn module_repository(
        &mut self,
        name: String,
        section: ModulesSection,
        repositories: &[Repository],
        forges: &IndexMap<String, Forge>,
    ) -> Option<ModuleRepository> {
        let pointer = format!("/modules/{}", name.replace('~', "~0").replace('/', "~1"));
        if !is_module_repository_name(&name) {
            let message = format!("`{name}` can't be the name of a module repository");
            self.error(&pointer, Code::BadIdentifier, message, MODULE_REPOSITORY_RULE);
            return None;
        }
        let folder = match section.path.as_deref().map(module_folder) {
            None => Some(MODULE_FOLDER.to_owned()),
            Some(None) => {
                let message = format!("`modules.{name}.path` is no folder inside the repository");
                let hint = "write `.` for the whole repository, or a path like `modules`";
                self.error(&format!("{pointer}/path"), Code::ValueNotAllowed, message, hint);
                None
            }
            Some(folder) => folder,
        };
        let is_bad = |reference: &str| reference.trim().is_empty() || reference.chars().any(char::is_control);
        if section.reference.as_deref().is_some_and(is_bad) {
            let message = format!("`modules.{name}.ref` names nothing");
            let hint = "write a tag, a branch, a commit, or a range of versions like `^1.2`";
            self.error(&format!("{pointer}/ref"), Code::ValueNotAllowed, message, hint);
        }
        let dependents = match section.dependents {
            None | Some(DependentsWord::Counts) => Dependents::Counts,
            Some(DependentsWord::Names) => Dependents::Names,
            Some(DependentsWord::Plans) => Dependents::Plans,
        };
        let reference = section.reference.clone();
        let source = self.module_source(&name, &pointer, section, repositories, forges)?;
        Some(ModuleRepository { name, source, reference, folder: folder?, dependents })
    }

    fn module_source(
        &mut self,
        name: &str,
        pointer: &str,
        section: ModulesSection,
        repositories: &[Repository],
        forges: &IndexMap<String, Forge>,
    ) -> Option<ModuleSource> {
        let Some(followed) = &section.repository else {
            let Some(url) = &section.url else {
                let message = format!("`modules.{name}` doesn't say where the modules are");
                let hint = "add `url: https://...`, or `repository: NAME` for one of `repositories`";
                self.error(pointer, Code::MissingKey, message, hint);
                return None;
            };
            let location = self.module_location(url, &format!("{pointer}/url"));
            let forge = section.forge.as_deref().and_then(|key| self.forge_named(key, pointer, forges));
            let own = section.credentials.and_then(|section| self.credentials(pointer, section));
            let credentials = own.or_else(|| forge_credentials(location.as_ref()?, forge.as_ref()?.1));
            let poll = self.duration(section.poll, &format!("{pointer}/poll"), Duration::from_secs(60));
            return Some(ModuleSource::Own { location: location?, credentials, poll });
        };
        // What is asked about a followed repository stands where it is followed.
        for (key, given) in [
            ("url", section.url.is_some()),
            ("forge", section.forge.is_some()),
            ("credentials", section.credentials.is_some()),
            ("poll", section.poll.is_some()),
        ] {
            if given {
                let message =
                    format!("`{key}` can't stand beside `repository`, which is fetched as `repositories` says");
                let hint = "take one of them out";
                self.error(&format!("{pointer}/{key}"), Code::ConflictingKeys, message, hint);
            }
        }
        if let Some(there) = repositories.iter().find(|repository| repository.name.as_str() == followed) {
            return Some(ModuleSource::Followed(there.name.clone()));
        }
        let message = format!("`{followed}` is not one of `repositories`");
        let hint = nearest(followed, repositories.iter().map(|repository| repository.name.as_str())).map_or_else(
            || "add it to `repositories`, or give its address as `url`".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        self.error(&format!("{pointer}/repository"), Code::ValueNotAllowed, message, &hint);
        None
    }

    /// An address, or a path relative to the configuration.
    fn module_location(&mut self, url: &str, pointer: &str) -> Option<Location> {
        if url.starts_with(['.', '/']) {
            return Some(Location::Local(tidy_path(&self.base.join(url))));
        }
        self.address(url, pointer, &["https", "http", "file"]).map(Location::Remote)
    }
}
