//! The graph of an execution: its stages by index, what each needs, and what needs it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::entry::AddedStage;
use super::registry::{Kind, Kinds};
use crate::expression::{Expression, Template, has_expression};
use crate::model::{Execution, Instance, Spread, Stage, StagePath};

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
    /// A stage can't be spread, or not like this.
    #[error("stage `{stage}` can't become several: {reason}")]
    Spread {
        /// The stage.
        stage: StagePath,
        /// Why not.
        reason: String,
    },
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
    /// What it has become, if it is one that becomes several.
    pub group: Option<Box<Group>>,
    /// Of which stage it is an instance, if it is one.
    pub member: Option<Box<Member>>,
    definition: Definition,
}

/// A stage that becomes several.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// The indexes of its instances, in their order.
    pub members: Vec<u32>,
    /// Whether its condition is asked for each instance, because it looks at what is different about them.
    pub asks_each: bool,
}

/// An instance of a stage.
#[derive(Debug, Clone)]
pub struct Member {
    /// The stage's index.
    pub of: u32,
    /// Its place among its siblings.
    pub index: usize,
    /// What is different about it.
    pub instance: Instance,
    /// It was of an earlier run of the stage, and isn't any more.
    pub retired: bool,
}

/// Where the definition of a stage is kept. An instance has that of its stage.
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

    /// Has a stage become several.
    ///
    /// # Errors
    /// If it isn't one that does, or two instances have one path; the graph is then as it was.
    pub fn spread(&mut self, stage: u32, instances: &[Instance]) -> Result<(), PlanError> {
        let paths = self.check_spread(stage, instances)?;
        self.retire(stage);
        let mut members = Vec::with_capacity(instances.len());
        for (index, (path, instance)) in paths.into_iter().zip(instances).enumerate() {
            let member = Member { of: stage, index, instance: instance.clone(), retired: false };
            let known = self.stages.iter().position(|other| other.path == path);
            let place = known.unwrap_or_else(|| {
                let above = &self.stages[stage as usize];
                let new = PlanStage {
                    path,
                    needs: above.needs.clone(),
                    // What comes after it comes after its stage.
                    needed_by: Vec::new(),
                    kind: above.kind,
                    finally: above.finally,
                    dynamic: above.dynamic,
                    group: None,
                    member: None,
                    definition: above.definition.clone(),
                };
                self.stages.push(new);
                self.stages.len() - 1
            });
            self.stages[place].member = Some(Box::new(member));
            members.push(u32::try_from(place).unwrap_or(u32::MAX));
        }
        self.finally = self.stages.iter().filter(|stage| stage.finally).count();
        if let Some(group) = &mut self.stages[stage as usize].group {
            group.members = members;
        }
        Ok(())
    }

    /// Whether a stage can become these, and if so, their paths.
    ///
    /// # Errors
    /// As [`Plan::spread`].
    pub fn check_spread(&self, stage: u32, instances: &[Instance]) -> Result<Vec<StagePath>, PlanError> {
        let above = &self.stages[stage as usize];
        let refused = |reason: String| PlanError::Spread { stage: above.path.clone(), reason };
        if above.group.is_none() {
            return Err(refused("it has neither `matrix` nor `forEach`".to_owned()));
        }
        if instances.len() > Spread::MOST {
            return Err(refused(format!("{} is the most", Spread::MOST)));
        }
        let mut seen = HashSet::new();
        let mut paths = Vec::with_capacity(instances.len());
        for instance in instances {
            let path = StagePath::parse(&format!("{}[{}]", above.path, instance.key));
            let path = path.map_err(|error| refused(error.to_string()))?;
            let foreign = |other: &PlanStage| other.member.as_ref().is_none_or(|member| member.of != stage);
            let taken = self.stages.iter().any(|other| other.path == path && foreign(other));
            if taken || !seen.insert(path.clone()) {
                return Err(PlanError::Duplicate(path));
            }
            paths.push(path);
        }
        Ok(paths)
    }

    /// Takes a stage's instances away: they are not there until it becomes them anew.
    pub fn retire(&mut self, stage: u32) {
        for member in self.members(stage).to_vec() {
            if let Some(member) = &mut self.stages[member as usize].member {
                member.retired = true;
            }
        }
        if let Some(group) = &mut self.stages[stage as usize].group {
            group.members.clear();
        }
    }

    /// The indexes of a stage's instances, in their order.
    pub fn members(&self, stage: u32) -> &[u32] {
        self.stages[stage as usize].group.as_ref().map(|group| group.members.as_slice()).unwrap_or_default()
    }

    /// Of which stage it is an instance.
    pub fn group_of(&self, stage: u32) -> Option<u32> {
        self.stages[stage as usize].member.as_ref().filter(|member| !member.retired).map(|member| member.of)
    }

    /// Whether it was an instance, and isn't any more.
    pub fn is_retired(&self, stage: u32) -> bool {
        self.stages[stage as usize].member.as_ref().is_some_and(|member| member.retired)
    }

    /// All indexes as people see the stages: in the author's order, a stage's instances after it, those retired left out.
    pub fn shown(&self) -> Vec<u32> {
        let mut shown = Vec::with_capacity(self.stages.len());
        for (index, stage) in (0..).zip(&self.stages) {
            if stage.member.is_none() {
                shown.push(index);
                shown.extend(self.members(index));
            }
        }
        shown
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
        let found = (0..).zip(&self.stages).find(|(_, stage)| stage.path == *path).map(|(index, _)| index);
        found.filter(|index| !self.is_retired(*index))
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
    /// the end. An instance takes along what comes after its stage, and not its siblings; a stage takes along its instances.
    /// In the plan's order.
    pub fn again(&self, stages: &[u32]) -> Vec<u32> {
        let (members, wholes): (Vec<u32>, Vec<u32>) = stages.iter().partition(|stage| self.group_of(**stage).is_some());
        let mut first = wholes;
        first.extend((0..).zip(&self.stages).filter(|(_, stage)| stage.finally).map(|(index, _)| index));
        for member in &members {
            let above = self.group_of(*member).map(|above| &self.stages[above as usize]);
            first.extend(above.iter().flat_map(|above| &above.needed_by));
        }
        let mut all = self.and_after(&first);
        let instances: Vec<u32> = all.iter().flat_map(|stage| self.members(*stage).iter().copied()).collect();
        all.extend(instances);
        all.extend(members);
        all.sort_unstable();
        all.dedup();
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
        // Instances stand where their stage stands.
        let needs = |stage: &PlanStage| if stage.member.is_some() { 0 } else { stage.needs.len() };
        let mut open: Vec<usize> = self.stages.iter().map(needs).collect();
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
        let group = definition.spread.as_ref().map(|_| {
            let asks_each = definition.when.as_deref().is_some_and(looks_at_instances);
            Box::new(Group { members: Vec::new(), asks_each })
        });
        Self {
            path,
            needs,
            needed_by: Vec::new(),
            kind: kinds.get(&definition.kind),
            finally: definition.finally,
            dynamic,
            group,
            member: None,
            definition: place,
        }
    }
}

/// Whether a condition looks at what is different about the instances of a stage.
fn looks_at_instances(when: &str) -> bool {
    let mentions = |expression: &Expression| {
        let roots = expression.references().iter().filter_map(|reference| reference.path.first());
        roots.into_iter().any(|root| matches!(root.as_str(), "each" | "matrix"))
    };
    if has_expression(when) {
        return Template::parse(when).is_ok_and(|template| template.expressions().any(|(one, _)| mentions(one)));
    }
    Expression::parse(when).is_ok_and(|expression| mentions(&expression))
}

fn mentions_expression(value: &Value) -> bool {
    match value {
        Value::String(text) => has_expression(text),
        Value::Array(items) => items.iter().any(mentions_expression),
        Value::Object(map) => map.values().any(mentions_expression),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
