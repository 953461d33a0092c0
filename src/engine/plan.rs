//! The graph of an execution: its stages by index, what each needs, and what needs it.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::entry::AddedStage;
use super::registry::{Kind, Kinds};
use crate::expression::has_expression;
use crate::model::{Execution, Stage, StagePath};

/// Why a definition can't be run. Validation finds all of these before a pipeline is published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is nothing to run.
    #[error("the pipeline has no stages")]
    NoStages,
    /// Two stages have one path.
    #[error("two stages have the path `{0}`")]
    Duplicate(StagePath),
    /// A stage needs one that isn't there.
    #[error("stage `{stage}` needs `{need}`, which doesn't exist")]
    UnknownNeed {
        /// The stage.
        stage: StagePath,
        /// What it needs.
        need: String,
    },
    /// Stages need each other in a circle.
    #[error("stage `{0}` needs itself, by way of others or directly")]
    Cycle(StagePath),
}

/// The graph.
#[derive(Debug, Clone)]
pub struct Plan {
    stages: Vec<PlanStage>,
    /// How many of them run at the end whatever happened.
    finally: usize,
    kinds: Arc<Kinds>,
}

/// A stage in the graph.
#[derive(Debug, Clone)]
pub struct PlanStage {
    /// Where it stands.
    pub path: StagePath,
    /// The indexes of the stages that must end well before it starts.
    pub needs: Vec<u32>,
    /// The indexes of the stages that need it.
    pub needed_by: Vec<u32>,
    /// Its type, if this program has it.
    pub kind: Option<Kind>,
    /// Whether it runs after all others, whatever became of them.
    pub finally: bool,
    /// Whether a field may hold a `${ }`.
    pub dynamic: bool,
    definition: Definition,
}

/// Where the definition of a stage is kept.
#[derive(Debug, Clone)]
enum Definition {
    /// In the execution's document, at this place.
    Document(usize),
    /// Here: it came later.
    Added(Arc<Stage>),
}

impl Plan {
    /// The graph of an execution that has just been created.
    ///
    /// # Errors
    /// If the definition is not a graph without circles.
    pub fn new(execution: &Execution, kinds: Arc<Kinds>) -> Result<Self, PlanError> {
        let stages = &execution.info.pipeline.stages;
        if stages.is_empty() {
            return Err(PlanError::NoStages);
        }
        let index: HashMap<&str, u32> = (0..).zip(stages).map(|(index, stage)| (stage.id.as_str(), index)).collect();
        let mut plan = Self { stages: Vec::with_capacity(stages.len()), finally: 0, kinds };
        for (place, stage) in stages.iter().enumerate() {
            let path = StagePath::from(&stage.id);
            let mut needs = Vec::with_capacity(stage.needs.len());
            for need in &stage.needs {
                let unknown = || PlanError::UnknownNeed { stage: path.clone(), need: need.to_string() };
                needs.push(*index.get(need.as_str()).ok_or_else(unknown)?);
            }
            plan.stages.push(PlanStage::new(path, needs, Definition::Document(place), stage, &plan.kinds));
        }
        // A map keeps one of two equal keys.
        if index.len() < stages.len() {
            let twice = (0..).zip(stages).find(|(at, stage)| index.get(stage.id.as_str()) != Some(at));
            if let Some((_, stage)) = twice {
                return Err(PlanError::Duplicate(StagePath::from(&stage.id)));
            }
        }
        plan.link(0);
        plan.finally = plan.stages.iter().filter(|stage| stage.finally).count();
        plan.refuse_cycles()?;
        Ok(plan)
    }

    /// Adds stages at the end.
    ///
    /// # Errors
    /// If the result is not a graph without circles; the graph is then unusable.
    pub fn add(&mut self, added: &[AddedStage]) -> Result<(), PlanError> {
        let before = self.stages.len();
        for stage in added {
            if self.find(&stage.path).is_some() {
                return Err(PlanError::Duplicate(stage.path.clone()));
            }
            let last = before + added.len();
            if let Some(need) = stage.needs.iter().find(|need| **need as usize >= last) {
                return Err(PlanError::UnknownNeed { stage: stage.path.clone(), need: need.to_string() });
            }
            let definition = Definition::Added(Arc::new(stage.definition.clone()));
            let needs = stage.needs.clone();
            self.stages.push(PlanStage::new(stage.path.clone(), needs, definition, &stage.definition, &self.kinds));
        }
        self.link(before);
        self.finally = self.stages.iter().filter(|stage| stage.finally).count();
        self.refuse_cycles()
    }

    /// All stages, by index.
    pub fn stages(&self) -> &[PlanStage] {
        &self.stages
    }

    /// The stage types that this program has.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// The index of the stage at a path.
    pub fn find(&self, path: &StagePath) -> Option<u32> {
        (0..).zip(&self.stages).find(|(_, stage)| stage.path == *path).map(|(index, _)| index)
    }

    /// The definition of a stage.
    pub fn definition<'a>(&'a self, execution: &'a Execution, stage: u32) -> &'a Stage {
        match &self.stages[stage as usize].definition {
            Definition::Document(place) => &execution.info.pipeline.stages[*place],
            Definition::Added(stage) => stage,
        }
    }

    /// These stages and all that come after them, each once, in the plan's order.
    pub fn and_after(&self, stages: &[u32]) -> Vec<u32> {
        let mut reached = vec![false; self.stages.len()];
        let mut open = stages.to_vec();
        while let Some(stage) = open.pop() {
            if !std::mem::replace(&mut reached[stage as usize], true) {
                open.extend(&self.stages[stage as usize].needed_by);
            }
        }
        (0..).zip(reached).filter(|(_, reached)| *reached).map(|(stage, _)| stage).collect()
    }

    /// Whether a stage runs after all others, whatever became of them.
    pub fn is_finally(&self, stage: u32) -> bool {
        self.stages[stage as usize].finally
    }

    /// Whether any does.
    pub const fn has_finally(&self) -> bool {
        self.finally > 0
    }

    /// What is as if it had never run when these stages are restarted: they, all that come after them, and what runs at
    /// the end. In the plan's order.
    pub fn again(&self, stages: &[u32]) -> Vec<u32> {
        let mut all = self.and_after(stages);
        if self.has_finally() {
            all.extend((0..).zip(&self.stages).filter(|(_, stage)| stage.finally).map(|(index, _)| index));
            all.sort_unstable();
            all.dedup();
        }
        all
    }

    /// Fills in `needed_by` for the stages from `first` on.
    fn link(&mut self, first: usize) {
        for index in first..self.stages.len() {
            for need in self.stages[index].needs.clone() {
                if let (Some(needed), Ok(index)) = (self.stages.get_mut(need as usize), u32::try_from(index)) {
                    needed.needed_by.push(index);
                }
            }
        }
    }

    /// Takes away what needs nothing, again and again; what is left stands in or behind a circle.
    fn refuse_cycles(&self) -> Result<(), PlanError> {
        let mut open: Vec<usize> = self.stages.iter().map(|stage| stage.needs.len()).collect();
        let mut free: Vec<usize> = (0..open.len()).filter(|index| open[*index] == 0).collect();
        while let Some(index) = free.pop() {
            for next in &self.stages[index].needed_by {
                let left = &mut open[*next as usize];
                *left -= 1;
                if *left == 0 {
                    free.push(*next as usize);
                }
            }
        }
        match self.stages.iter().zip(open).find(|(_, left)| *left > 0) {
            Some((stage, _)) => Err(PlanError::Cycle(stage.path.clone())),
            None => Ok(()),
        }
    }
}

impl PlanStage {
    fn new(path: StagePath, needs: Vec<u32>, place: Definition, definition: &Stage, kinds: &Kinds) -> Self {
        let dynamic = definition.fields.values().any(mentions_expression);
        Self {
            path,
            needs,
            needed_by: Vec::new(),
            kind: kinds.get(&definition.kind),
            finally: definition.finally,
            dynamic,
            definition: place,
        }
    }
}

fn mentions_expression(value: &Value) -> bool {
    match value {
        Value::String(text) => has_expression(text),
        Value::Array(items) => items.iter().any(mentions_expression),
        Value::Object(map) => map.values().any(mentions_expression),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
