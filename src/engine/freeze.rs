//! What keeps an execution from beginning.
//!
//! A freeze holds back what hasn't begun, and what is to go on after its end. What runs goes on, and so does what it
//! starts by `pipeline` stages: half of a deployment is worse than a whole one. Whoever starts or restarts something
//! by hand can say that it goes before the freeze, which is kept with it.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::model::{ApplicationName, CauseKind, Freeze, NewExecution};

/// Why an execution waits to begin: a freeze, or its place in a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// In words that people read.
    #[serde(rename = "r")]
    pub reason: String,
    /// Who froze; nobody, if it waits in a lane.
    #[serde(rename = "b", default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// When the freeze ends by itself.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The lane in which it waits, if that is why. Since version 5.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
}

impl Hold {
    /// What is waited for, in words.
    pub fn waited_for(&self) -> String {
        if self.lane.is_some() { self.reason.clone() } else { format!("the end of a freeze ({})", self.reason) }
    }
}

/// The freezes that are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Freezes(Vec<Freeze>);

impl From<Vec<Freeze>> for Freezes {
    fn from(freezes: Vec<Freeze>) -> Self {
        Self(freezes)
    }
}

impl Freezes {
    /// What keeps an execution from beginning at this moment.
    pub fn hold_of_start(&self, execution: &NewExecution, now: Timestamp) -> Option<Hold> {
        let trigger = &execution.trigger;
        let goes_on = trigger.kind == CauseKind::Pipeline && trigger.parent.is_some();
        if goes_on || trigger.override_freeze.is_some() {
            return None;
        }
        self.hold_of(&execution.pipeline.application, now)
    }

    /// What holds an application's executions at this moment. Of several freezes, the one that ends last; of those, the
    /// application's own.
    pub fn hold_of(&self, application: &ApplicationName, now: Timestamp) -> Option<Hold> {
        let holds = |freeze: &&Freeze| freeze.is_in_force(now) && freeze.is_about(application);
        let end =
            |freeze: &&Freeze| (freeze.until.map_or(i64::MAX, Timestamp::as_millis), freeze.application.is_some());
        let Freeze { reason, by, until, .. } = self.0.iter().filter(holds).max_by_key(end)?;
        Some(Hold { reason: reason.clone(), by: by.clone(), until: *until, lane: None })
    }

    /// When the next one ends by itself.
    pub fn next_end(&self) -> Option<Timestamp> {
        self.0.iter().filter_map(|freeze| freeze.until).min()
    }

    /// Forgets those that have ended. Yields whether there were any.
    pub fn end(&mut self, now: Timestamp) -> bool {
        let before = self.0.len();
        self.0.retain(|freeze| freeze.is_in_force(now));
        self.0.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::world::{new_execution, parent, pipeline, stage};
    use super::*;
    use crate::model::Cause;

    fn freeze(application: Option<&str>, reason: &str, until: Option<i64>) -> Freeze {
        Freeze {
            application: application.map(|name| ApplicationName::parse(name).expect("a name")),
            reason: reason.to_owned(),
            by: "ann".to_owned(),
            since: Timestamp::from_millis(0),
            until: until.map(Timestamp::from_millis),
        }
    }

    #[test]
    fn what_ends_last_holds_whom_it_is_about() {
        let execution = new_execution(pipeline(vec![stage("a", &[])]));
        let reason = |freezes: &[Freeze], now: i64| {
            let freezes = Freezes::from(freezes.to_vec());
            freezes.hold_of_start(&execution, Timestamp::from_millis(now)).map(|hold| hold.reason)
        };
        let all = freeze(None, "all", Some(10));
        let shop = freeze(Some("shop"), "shop", Some(20));
        let bank = freeze(Some("bank"), "bank", None);
        assert_eq!(reason(&[all.clone(), bank.clone(), shop.clone()], 5).as_deref(), Some("shop"));
        assert_eq!(reason(&[all.clone(), bank.clone()], 5).as_deref(), Some("all"));
        assert_eq!(reason(&[all, bank.clone(), shop], 20), None);
        assert_eq!(reason(&[freeze(None, "ever", None), bank], i64::MAX).as_deref(), Some("ever"));
        let own = [freeze(Some("shop"), "own", None), freeze(None, "ever", None)];
        assert_eq!(reason(&own, 5).as_deref(), Some("own"));
    }

    #[test]
    fn what_a_running_execution_starts_goes_on_and_so_does_what_goes_before() {
        let freezes = Freezes::from(vec![freeze(None, "all", None)]);
        let mut execution = new_execution(pipeline(vec![stage("a", &[])]));
        let mut held = |kind, by: Option<&str>| {
            execution.trigger.kind = kind;
            execution.trigger.override_freeze = by.map(str::to_owned);
            freezes.hold_of_start(&execution, Timestamp::from_millis(0)).is_some()
        };
        assert!(held(CauseKind::Git, None) && held(CauseKind::Manual, None));
        assert!(held(CauseKind::Pipeline, None), "by the end of another: nothing waits for it");
        assert!(!held(CauseKind::Manual, Some("ann")));
        execution.trigger = Cause { kind: CauseKind::Pipeline, parent: Some(parent()), ..Cause::default() };
        assert!(freezes.hold_of_start(&execution, Timestamp::from_millis(0)).is_none());
    }

    #[test]
    fn they_end_one_after_the_other() {
        let at = Timestamp::from_millis;
        let mut freezes = Freezes::from(vec![freeze(None, "all", Some(10)), freeze(Some("shop"), "shop", Some(20))]);
        assert_eq!(freezes.next_end(), Some(at(10)));
        assert!(!freezes.end(at(9)) && freezes.end(at(10)) && !freezes.end(at(10)));
        assert_eq!(freezes.next_end(), Some(at(20)));
        assert!(freezes.end(at(30)));
        assert_eq!(freezes, Freezes::default());
    }
}
