//! Which applications a repository may define, and on which of its branches.

use serde::{Deserialize, Serialize};

use super::Names;
use crate::model::ApplicationName;

/// What a repository may define: whatever one of the rules lets through. No rule, no application.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Applications(Vec<ApplicationRule>);

/// Applications that a repository may define.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationRule {
    /// Their names.
    pub names: Names,
    /// The branches whose files may define them; none means each whose definitions count.
    pub branches: Option<Names>,
}

/// Why a repository may not define an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplicationRefusal {
    /// It is none of those that the repository may define, which are these.
    Name(Vec<String>),
    /// It is for other branches: these.
    Branch(Vec<String>),
}

impl Applications {
    /// What these rules let through.
    pub const fn new(rules: Vec<ApplicationRule>) -> Self {
        Self(rules)
    }

    /// Whether the files of a branch may define an application; without a branch, whether those of any may.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, application: &ApplicationName, branch: Option<&str>) -> Result<(), ApplicationRefusal> {
        let named = || self.0.iter().filter(|rule| rule.names.hold(application.as_str()));
        let mut branches = Vec::new();
        for rule in named() {
            match (&rule.branches, branch) {
                (Some(names), Some(branch)) if !names.hold(branch) => branches.extend(names.patterns()),
                (None | Some(_), _) => return Ok(()),
            }
        }
        if named().next().is_some() {
            return Err(ApplicationRefusal::Branch(branches));
        }
        Err(ApplicationRefusal::Name(self.0.iter().flat_map(|rule| rule.names.patterns()).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(patterns: &[&str]) -> Names {
        let patterns: Vec<String> = patterns.iter().map(|one| (*one).to_owned()).collect();
        Names::parse(&patterns).expect("patterns")
    }

    #[test]
    fn a_rule_is_about_names_and_branches() {
        let rule = |name: &str, branches: Option<&[&str]>| ApplicationRule {
            names: names(&[name]),
            branches: branches.map(names),
        };
        let rules = [rule("shop", None), rule("infra-*", Some(&["release", "hotfix/**"])), rule("infra-dev", None)];
        // As the process that reviews pull requests gets it.
        let text = serde_json::to_string(&Applications::new(rules.into())).expect("JSON");
        let rules: Applications = serde_json::from_str(&text).expect("read again");
        let may = |name: &str, branch| rules.check(&ApplicationName::parse(name).expect("a name"), branch);
        assert_eq!(may("shop", Some("main")), Ok(()));
        assert_eq!(may("infra-prod", Some("hotfix/a/b")), Ok(()));
        assert_eq!(may("infra-dev", Some("main")), Ok(()), "one rule is enough");
        assert_eq!(may("infra-prod", None), Ok(()), "whoever doesn't say where isn't asked");
        let branches = vec!["release".to_owned(), "hotfix/**".to_owned()];
        assert_eq!(may("infra-prod", Some("main")), Err(ApplicationRefusal::Branch(branches)));
        let all = ["shop", "infra-*", "infra-dev"].map(str::to_owned).to_vec();
        assert_eq!(may("bank", Some("release")), Err(ApplicationRefusal::Name(all)));
        let none = Applications::default().check(&ApplicationName::parse("shop").expect("a name"), None);
        assert_eq!(none, Err(ApplicationRefusal::Name(Vec::new())));
    }
}
