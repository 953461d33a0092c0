//! Which handler serves which stage type.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Effect, Outcome, StageHandler};

/// Takes out of an answer what must not be kept: secrets, above all.
pub type Censor = Arc<dyn Fn(&mut Outcome) + Send + Sync>;

/// All stage types of this program.
#[derive(Clone)]
pub struct Registry {
    handlers: Vec<Arc<dyn StageHandler>>,
    kinds: Arc<Kinds>,
    censor: Option<Censor>,
}

impl Registry {
    /// A registry of these handlers. Of two handlers for one type, the later is served.
    pub fn new(handlers: Vec<Arc<dyn StageHandler>>) -> Self {
        let kinds = handlers.iter().enumerate().map(|(slot, handler)| {
            let kind = Kind {
                slot,
                effect: handler.effect(),
                takes_judgments: handler.takes_judgments(),
                evaluates: handler.evaluates(),
                yields_variables: handler.yields_variables(),
                skippable: handler.skippable(),
                runs_here: handler.runs_here(),
            };
            (handler.kind().to_owned(), kind)
        });
        let kinds = Arc::new(Kinds(kinds.collect()));
        Self { handlers, kinds, censor: None }
    }

    /// The same; what handlers with an effect answer goes through `censor` before anything else sees it.
    #[must_use]
    pub fn censored(self, censor: Censor) -> Self {
        Self { censor: Some(censor), ..self }
    }

    /// What an answer of this type goes through.
    pub(super) fn censor(&self, kind: Kind) -> Option<&Censor> {
        self.censor.as_ref().filter(|_| kind.effect != Effect::None)
    }

    /// What the pure core knows about stage types.
    pub(super) fn kinds(&self) -> &Arc<Kinds> {
        &self.kinds
    }

    pub(super) fn handler(&self, kind: Kind) -> Option<&Arc<dyn StageHandler>> {
        self.handlers.get(kind.slot)
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Registry").field(&self.kinds.names()).finish()
    }
}

/// The stage types as data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kinds(HashMap<String, Kind>);

/// One stage type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The handler's place in the registry.
    pub slot: usize,
    /// What the handler declares.
    pub effect: Effect,
    /// Whether its waiting stages wait for a person's judgment.
    pub takes_judgments: bool,
    /// Whether its handler evaluates expressions itself.
    pub evaluates: bool,
    /// Whether its outputs are variables of the stages after it.
    pub yields_variables: bool,
    /// Whether its waiting stages end well if somebody says that they need not wait any longer.
    pub skippable: bool,
    /// Whether what a polling stage began runs on this machine.
    pub runs_here: bool,
}

impl Kinds {
    /// The type of this name.
    pub fn get(&self, name: &str) -> Option<Kind> {
        self.0.get(name).copied()
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// These types, for tests of the core; the one named `ask` takes judgments, `look` evaluates expressions, `set`
    /// yields variables.
    #[cfg(test)]
    pub fn of(kinds: &[(&str, Effect)]) -> Arc<Self> {
        let kind = |(slot, (name, effect)): (usize, &(&str, Effect))| {
            let kind = Kind {
                slot,
                effect: *effect,
                takes_judgments: *name == "ask",
                evaluates: *name == "look",
                yields_variables: *name == "set",
                skippable: *name == "none",
                runs_here: false,
            };
            (name.to_string(), kind)
        };
        Arc::new(Self(kinds.iter().enumerate().map(kind).collect()))
    }
}
