//! What the names of module repositories meant in a render: exact commits.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::CommitSha;
use crate::diagnostic::Place;

/// What a reference (`@v2`, `@main`, `@^1.4`) turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PinKind {
    /// A tag, named as such or the highest of a range of versions.
    Tag(String),
    /// A branch.
    Branch(String),
    /// The commit itself.
    Commit,
}

/// The commit that a module repository was read at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    /// The module repository, by the operator's name for it.
    pub repository: String,
    /// What stood behind the `@`; none: the default of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// What that meant.
    #[schemars(with = "String")]
    pub commit: CommitSha,
    /// As what it was found.
    pub kind: PinKind,
}

impl Pin {
    /// The tag, if it was one.
    pub fn tag(&self) -> Option<&str> {
        match &self.kind {
            PinKind::Tag(tag) => Some(tag),
            PinKind::Branch(_) | PinKind::Commit => None,
        }
    }
}

impl fmt::Display for Pin {
    /// As a call writes it: `platform@v2`, or `platform` for the default.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reference {
            Some(reference) => write!(out, "{}@{reference}", self.repository),
            None => out.write_str(&self.repository),
        }
    }
}

/// What all the references of a render meant: one commit for each repository and reference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Pins(Vec<Pin>);

/// A reference that means another commit than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinMove {
    /// What it meant.
    pub before: Pin,
    /// What it means.
    pub after: Pin,
}

impl Pins {
    /// Adds one; what is there already of the same repository and reference stays.
    pub fn add(&mut self, pin: &Pin) {
        if let Err(at) = self.find(&pin.repository, pin.reference.as_deref()) {
            self.0.insert(at, pin.clone());
        }
    }

    /// Adds all of another render.
    pub fn extend(&mut self, others: &Self) {
        others.0.iter().for_each(|pin| self.add(pin));
    }

    /// What a reference of a repository meant.
    pub fn get(&self, repository: &str, reference: Option<&str>) -> Option<&Pin> {
        self.find(repository, reference).ok().map(|at| &self.0[at])
    }

    /// All of them, by repository and reference.
    pub fn iter(&self) -> impl Iterator<Item = &Pin> {
        self.0.iter()
    }

    /// Whether no module repository was used.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The references that both have, and that mean another commit in `now`.
    pub fn moved(&self, now: &Self) -> Vec<PinMove> {
        let before = |pin: &&Pin| self.get(&pin.repository, pin.reference.as_deref());
        let pairs = now.0.iter().filter_map(|after| Some((before(&after)?, after)));
        pairs
            .filter(|(before, after)| before.commit != after.commit)
            .map(|(before, after)| PinMove { before: before.clone(), after: after.clone() })
            .collect()
    }

    /// The tags that mean another commit in `now`, by whatever reference they were chosen. A tag is meant to stay.
    pub fn moved_tags(&self, now: &Self) -> Vec<PinMove> {
        let mut moves: Vec<PinMove> = Vec::new();
        for after in &now.0 {
            let same =
                |pin: &&Pin| pin.repository == after.repository && pin.tag().is_some() && pin.tag() == after.tag();
            let told = |one: &PinMove| one.after.repository == after.repository && one.after.tag() == after.tag();
            if let Some(before) = self.0.iter().find(same)
                && before.commit != after.commit
                && !moves.iter().any(told)
            {
                moves.push(PinMove { before: before.clone(), after: after.clone() });
            }
        }
        moves
    }

    fn find(&self, repository: &str, reference: Option<&str>) -> Result<usize, usize> {
        self.0.binary_search_by(|pin| (pin.repository.as_str(), pin.reference.as_deref()).cmp(&(repository, reference)))
    }
}

/// A reference of a change, and what it means in what is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComparedPin {
    /// What it means for the change.
    #[serde(flatten)]
    pub pin: Pin,
    /// The commit that it meant when the target branch was published last; none if nothing there uses it.
    pub published: Option<CommitSha>,
}

impl ComparedPin {
    /// All pins of a change, beside those of the applications that are published from its target branch. Of several
    /// that differ, one that has moved since is told.
    pub fn all<'a>(change: &Pins, published: impl Iterator<Item = &'a Pins> + Clone) -> Vec<Self> {
        let compare = |pin: &Pin| {
            let same = |pins: &'a Pins| pins.get(&pin.repository, pin.reference.as_deref());
            let all: Vec<&CommitSha> = published.clone().filter_map(same).map(|pin| &pin.commit).collect();
            let moved = all.iter().find(|commit| ***commit != pin.commit).or_else(|| all.first());
            Self { pin: pin.clone(), published: moved.map(|commit| (*commit).clone()) }
        };
        change.iter().map(compare).collect()
    }

    /// Where it has moved from, if it has.
    pub fn moved_from(&self) -> Option<&CommitSha> {
        self.published.as_ref().filter(|commit| **commit != self.pin.commit)
    }
}

impl FromIterator<Pin> for Pins {
    fn from_iter<I: IntoIterator<Item = Pin>>(pins: I) -> Self {
        let mut all = Self::default();
        pins.into_iter().for_each(|pin| all.add(&pin));
        all
    }
}

/// A module that an application file used, by itself or through other modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleUse {
    /// Its full name without a reference: `std/approve`, `notify`, `platform/deploy`.
    pub module: String,
    /// The reference as it was written; of a module that another one called by its plain name, that of the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The module repository; `std` for what is built in; none: the repository that was rendered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The commit of the module repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitSha>,
    /// The module's file: a path in its repository; of a built-in one its name.
    pub file: String,
    /// The first call in the application file that led to it.
    pub call: Place,
    /// The modules that this call led through, outermost first, each as it was called; none if it is the application
    /// file that calls it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<String>,
}

/// A file beside the application file that had a part in it: a variable file, or what `file(...)` read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileUse {
    /// The module repository; none: the repository that was rendered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The commit of the module repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitSha>,
    /// The path in that repository.
    pub path: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(repository: &str, reference: Option<&str>, commit: u32, kind: PinKind) -> Pin {
        let commit = CommitSha::parse(&format!("{commit:040x}")).expect("a commit");
        Pin { repository: repository.to_owned(), reference: reference.map(str::to_owned), commit, kind }
    }

    fn tag(name: &str) -> PinKind {
        PinKind::Tag(name.to_owned())
    }

    #[test]
    fn pins_are_kept_once_and_found_by_their_reference() {
        let main = PinKind::Branch("main".to_owned());
        let pins: Pins = [pin("b", None, 1, main.clone()), pin("a", Some("v1"), 2, tag("v1")), pin("b", None, 3, main)]
            .into_iter()
            .collect();
        assert_eq!(pins.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a@v1", "b"]);
        assert_eq!(pins.get("b", None).map(|pin| pin.commit.short()), Some("0000000"));
        assert!(pins.get("b", Some("v1")).is_none());
        let text = serde_json::to_string(&pins).expect("JSON");
        assert_eq!(serde_json::from_str::<Pins>(&text).expect("reads back"), pins);
    }

    #[test]
    fn the_pins_of_a_change_are_compared_with_those_that_are_published() {
        let main = |commit| pin("a", None, commit, PinKind::Branch("main".to_owned()));
        let change: Pins = [main(2), pin("b", Some("v1"), 3, tag("v1"))].into_iter().collect();
        let published: [Pins; 2] = [[main(2)].into_iter().collect(), [main(1)].into_iter().collect()];
        let compared = ComparedPin::all(&change, published.iter());
        assert_eq!(compared[0].moved_from(), Some(&main(1).commit), "the one of several that differs");
        assert_eq!((compared[1].published.as_ref(), compared[1].moved_from()), (None, None));
        let compared = ComparedPin::all(&change, published[..1].iter());
        assert_eq!((compared[0].published.as_ref(), compared[0].moved_from()), (Some(&main(2).commit), None));
    }

    #[test]
    fn moves_are_told_for_the_same_reference_and_tags_whatever_chose_them() {
        let before: Pins = [
            pin("a", Some("main"), 1, PinKind::Branch("main".to_owned())),
            pin("a", Some("^1"), 2, tag("v1.0.0")),
            pin("gone", None, 9, PinKind::Commit),
        ]
        .into_iter()
        .collect();
        let after: Pins = [
            pin("a", Some("main"), 1, PinKind::Branch("main".to_owned())),
            pin("a", Some("^1"), 3, tag("v1.1.0")),
            pin("a", Some("v1.0.0"), 4, tag("v1.0.0")),
        ]
        .into_iter()
        .collect();
        let moved = before.moved(&after);
        assert_eq!(moved.iter().map(|one| one.after.to_string()).collect::<Vec<_>>(), ["a@^1"]);
        let tags = before.moved_tags(&after);
        assert_eq!(tags.iter().map(|one| one.after.to_string()).collect::<Vec<_>>(), ["a@v1.0.0"]);
        assert!(before.moved(&before).is_empty() && after.moved_tags(&after).is_empty());
    }
}
