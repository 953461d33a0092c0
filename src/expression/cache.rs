//! Expressions that were read already. A pipeline's expressions are read at each commit and again at each start
//! of a stage, and CEL's parser takes tens of microseconds.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::Expression;

/// At most this many expressions, none of them longer than this many bytes: a megabyte or two.
const ENTRIES: usize = 256;
const LONGEST: usize = 256;

static CACHE: LazyLock<Mutex<HashMap<String, Expression>>> = LazyLock::new(Mutex::default);

/// The expression that was read from this text, if it is still there.
pub(super) fn find(text: &str) -> Option<Expression> {
    if text.len() > LONGEST {
        return None;
    }
    CACHE.lock().unwrap_or_else(PoisonError::into_inner).get(text).cloned()
}

/// Keeps an expression. When the cache is full, it starts anew: that costs no more than reading again.
pub(super) fn keep(expression: &Expression) {
    if expression.text().len() > LONGEST {
        return;
    }
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if cache.len() >= ENTRIES {
        cache.clear();
    }
    cache.insert(expression.text().to_owned(), expression.clone());
}
