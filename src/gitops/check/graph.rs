//! How the stages of a pipeline hang together: who needs whom, circles, and who is upstream of whom.

use std::collections::HashMap;

use super::reader::{Sink, hinted};
use super::stage::Draft;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::model::StageId;

/// The most stages of a circle that a message names.
const LISTED: usize = 12;

/// The graph of a pipeline's stages, by their place in the list.
#[derive(Debug)]
pub(super) struct Graph {
    ids: Vec<Option<StageId>>,
    needs: Vec<Vec<usize>>,
    /// Of each stage, the stages that have ended when it starts; nothing if the graph is not sound.
    upstream: Option<Vec<Vec<u64>>>,
}

impl Graph {
    /// Builds the graph and says what is wrong with it.
    pub(super) fn new(drafts: &[Draft<'_>], sink: &mut Sink) -> Self {
        let errors = sink.errors();
        let index = index(drafts, sink);
        // No stage says where it stands: they run one after the other.
        let in_order = !drafts.iter().any(|draft| draft.placed);
        let mut needs: Vec<Vec<usize>> = Vec::new();
        for (at, draft) in drafts.iter().enumerate() {
            needs.push(match (&draft.needs, at.checked_sub(1)) {
                // What runs at the end has an order of its own.
                (None, Some(_)) if in_order => {
                    let same = |before: &usize| drafts[*before].finally == draft.finally;
                    (0..at).rev().find(same).into_iter().collect()
                }
                (None, _) => Vec::new(),
                (Some(_), _) => resolve(drafts, at, &index, sink),
            });
        }
        let ids: Vec<_> = drafts.iter().map(|draft| draft.id.clone()).collect();
        let mut graph = Self { ids, needs, upstream: None };
        graph.report_circles(drafts, sink);
        if sink.errors() == errors {
            graph.upstream = graph.closure(drafts);
        }
        graph
    }

    /// The ids of what a stage needs.
    pub(super) fn needs(&self, stage: usize) -> Vec<StageId> {
        let needs = self.needs.get(stage).map(Vec::as_slice).unwrap_or_default();
        needs.iter().filter_map(|at| self.ids.get(*at)?.clone()).collect()
    }

    /// The stage of that id.
    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.ids.iter().position(|other| other.as_ref().is_some_and(|other| other.as_str() == id))
    }

    /// All ids.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.ids.iter().flatten().map(StageId::as_str)
    }

    /// Whether `other` has always ended when `stage` starts; in a graph that isn't sound, always.
    pub(super) fn is_upstream(&self, other: usize, stage: usize) -> bool {
        let Some(sets) = &self.upstream else { return true };
        sets.get(stage).and_then(|set| set.get(other / 64)).is_some_and(|word| word >> (other % 64) & 1 == 1)
    }

    /// One finding for each circle.
    fn report_circles(&self, drafts: &[Draft<'_>], sink: &mut Sink) {
        let mut open = vec![true; self.needs.len()];
        loop {
            self.trim(&mut open);
            let Some(circle) = self.circle(&open) else { return };
            let draft = &drafts[circle[0]];
            let names: Vec<_> = circle.iter().chain(&circle[..1]).filter_map(|at| self.ids[*at].as_ref()).collect();
            let mut path: Vec<_> = names.iter().take(LISTED).map(|id| format!("`{id}`")).collect();
            if names.len() > LISTED {
                path.push("…".to_owned());
            }
            let message = format!("stages need each other in a circle: {}", path.join(" → "));
            let second = names.get(1).copied();
            let needs = draft.needs.iter().flatten();
            let place = needs.into_iter().find(|(_, id)| Some(id) == second).map_or(&draft.field, |(field, _)| field);
            place.say(sink, Diagnostic::error(Code::StageCycle, message).hint("take one of these `needs` out"));
            circle.iter().for_each(|at| open[*at] = false);
            if sink.is_full() {
                return;
            }
        }
    }

    /// Closes the stages that neither are on a circle nor wait for one: again and again those whose needs are all
    /// closed. Following open needs from any stage that is left leads into a circle.
    fn trim(&self, open: &mut [bool]) {
        let mut waiting = vec![0_usize; open.len()];
        let mut needed_by = vec![Vec::new(); open.len()];
        for at in (0..open.len()).filter(|at| open[*at]) {
            for need in self.needs[at].iter().filter(|need| open[**need]) {
                waiting[at] += 1;
                needed_by[*need].push(at);
            }
        }
        let mut free: Vec<_> = (0..open.len()).filter(|at| open[*at] && waiting[*at] == 0).collect();
        while let Some(at) = free.pop() {
            open[at] = false;
            for waiter in &needed_by[at] {
                waiting[*waiter] -= 1;
                if waiting[*waiter] == 0 {
                    free.push(*waiter);
                }
            }
        }
    }

    /// A circle among the open stages, from its first stage in the list's order.
    fn circle(&self, open: &[bool]) -> Option<Vec<usize>> {
        let mut path: Vec<usize> = vec![open.iter().position(|open| *open)?];
        loop {
            let next = *self.needs[*path.last()?].iter().find(|need| open[**need])?;
            if let Some(start) = path.iter().position(|at| *at == next) {
                let mut circle = path.split_off(start);
                let first = circle.iter().enumerate().min_by_key(|(_, at)| **at).map_or(0, |(place, _)| place);
                circle.rotate_left(first);
                return Some(circle);
            }
            path.push(next);
        }
    }

    /// The sets of all stages upstream, as bits; the graph has no circles.
    fn closure(&self, drafts: &[Draft<'_>]) -> Option<Vec<Vec<u64>>> {
        let count = self.needs.len();
        let mut sets: Vec<Option<Vec<u64>>> = vec![None; count];
        let mut todo: Vec<usize> = (0..count).collect();
        while let Some(at) = todo.pop() {
            if sets[at].is_some() {
                continue;
            }
            let missing: Vec<_> = self.needs[at].iter().copied().filter(|need| sets[*need].is_none()).collect();
            if !missing.is_empty() {
                todo.push(at);
                todo.extend(missing);
                continue;
            }
            let mut set = vec![0_u64; count.div_ceil(64)];
            for need in &self.needs[at] {
                let above = sets[*need].iter().flatten();
                set.iter_mut().zip(above).for_each(|(word, above)| *word |= above);
                set[need / 64] |= 1 << (need % 64);
            }
            sets[at] = Some(set);
        }
        // Whatever runs at the end sees all that ran before.
        for (_, set) in drafts.iter().zip(&mut sets).filter(|(draft, _)| draft.finally) {
            for other in (0..count).filter(|other| !drafts[*other].finally) {
                set.iter_mut().for_each(|set| set[other / 64] |= 1 << (other % 64));
            }
        }
        sets.into_iter().collect()
    }
}

/// The stages by their ids; says which ids stand twice.
fn index<'d>(drafts: &'d [Draft<'_>], sink: &mut Sink) -> HashMap<&'d StageId, usize> {
    let mut index: HashMap<&StageId, usize> = HashMap::new();
    for (at, draft) in drafts.iter().enumerate() {
        let Some(id) = &draft.id else { continue };
        let Some(first) = index.get(id).copied() else {
            index.insert(id, at);
            continue;
        };
        let line = drafts[first].field.node.origin.start().line;
        let message = format!("the id `{id}` is taken already, by the stage at line {line}");
        draft.id_field.as_ref().unwrap_or(&draft.field).say(sink, Diagnostic::error(Code::DuplicateStage, message));
    }
    index
}

/// The stages that a stage says it needs, each once.
fn resolve(drafts: &[Draft<'_>], at: usize, index: &HashMap<&StageId, usize>, sink: &mut Sink) -> Vec<usize> {
    let draft = &drafts[at];
    let mut needs = Vec::new();
    for (field, id) in draft.needs.iter().flatten() {
        if sink.is_full() {
            break;
        }
        match index.get(id) {
            Some(same) if *same == at => {
                field.say(sink, Diagnostic::error(Code::StageCycle, format!("the stage `{id}` needs itself")));
            }
            Some(need) if drafts[*need].finally != draft.finally => {
                let (message, hint) = if draft.finally {
                    ("runs when all others have ended, whatever became of them", "take it out of `needs`")
                } else {
                    ("can't need one that runs after all others", "take `finally` out of the one, or the other's need")
                };
                let message = format!("a stage with `finally: {}` {message}: not `{id}`", draft.finally);
                field.say(sink, Diagnostic::error(Code::ConflictingKeys, message).hint(hint));
            }
            Some(need) if needs.contains(need) => {}
            Some(need) => needs.push(*need),
            None => {
                let near = nearest(id.as_str(), index.keys().map(|id| id.as_str()));
                let hint = near.map(|near| format!("did you mean `{near}`?"));
                let finding = Diagnostic::error(Code::UnknownNeed, format!("there is no stage `{id}`"));
                field.say(sink, hinted(finding, hint));
            }
        }
    }
    needs
}
