//! A queue in which executions take turns, so that one with a hundred parallel stages doesn't hold up the others.

use std::collections::{HashMap, VecDeque};

use crate::model::ExecutionKey;

/// The queue.
#[derive(Debug)]
pub(super) struct Fair<T> {
    turns: VecDeque<ExecutionKey>,
    waiting: HashMap<ExecutionKey, VecDeque<T>>,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self { turns: VecDeque::new(), waiting: HashMap::new() }
    }
}

impl<T> Fair<T> {
    /// Adds an item behind those of its execution.
    pub(super) fn push(&mut self, key: ExecutionKey, item: T) {
        let items = self.waiting.entry(key).or_default();
        if items.is_empty() {
            self.turns.push_back(key);
        }
        items.push_back(item);
    }

    /// Takes the next item of the execution whose turn it is.
    pub(super) fn pop(&mut self) -> Option<(ExecutionKey, T)> {
        let key = self.turns.pop_front()?;
        let items = self.waiting.get_mut(&key)?;
        let item = items.pop_front();
        if items.is_empty() {
            self.waiting.remove(&key);
        } else {
            self.turns.push_back(key);
        }
        item.map(|item| (key, item))
    }

    /// What waits of an execution.
    pub(super) fn of(&self, key: ExecutionKey) -> impl Iterator<Item = &T> {
        self.waiting.get(&key).into_iter().flatten()
    }

    /// Forgets what waits of an execution.
    pub(super) fn forget(&mut self, key: ExecutionKey) {
        if self.waiting.remove(&key).is_some() {
            self.turns.retain(|turn| *turn != key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_take_turns_and_keep_their_own_order() {
        let mut queue = Fair::default();
        for (key, item) in [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (3, "c1"), (2, "b2")] {
            queue.push(ExecutionKey(key), item);
        }
        queue.forget(ExecutionKey(3));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, item)| item).collect();
        assert_eq!(order, ["a1", "b1", "a2", "b2", "a3"]);
        queue.push(ExecutionKey(1), "a4");
        assert_eq!(queue.pop(), Some((ExecutionKey(1), "a4")));
    }
}
