//! Time tables: starts pipelines when their `cron` triggers are due.
//!
//! What is in force is looked at once in a while and whenever something is published. For each table the store knows up
//! to which moment it was worked off; a table that is new begins at the moment when it is seen. What was due meanwhile
//! is one start at most, that of the latest moment, and only if that is not longer ago than the operator says
//! (`limits.cronCatchUp`): a server that was down for a week doesn't begin with a week's work. What was started and has not begun
//! yet, because of a freeze for example, stands for what is due after it.
//!
//! Moving that moment on and creating the execution is one transaction, and the execution is named after pipeline, table
//! and moment.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Map;

use super::Shared;
use super::given::Given;
use crate::clock::Timestamp;
use crate::model::{Cause, CauseKind, CronTrigger, NewExecution, OwnStart, Pipeline, TimeTable};
use crate::store::{ApplicationSummary, CronDone, CronKey, CronStep, Published, StoreError};

/// How often what is in force is looked at, even if nobody says that it changed.
const LOOK: Duration = Duration::from_secs(300);
/// How late a start may come without being a missed one: a busy server is.
const SLACK: Duration = Duration::from_secs(60);
/// The pause after the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Starts what is due until it is told to stop.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut changed = shared.catalog_changed.subscribe();
    let mut tables = Vec::new();
    let mut look_at = shared.clock.now();
    loop {
        let next = match turn(&shared, &mut tables, &mut look_at).await {
            Ok(next) => next,
            Err(StoreError::Closed | StoreError::Fenced) => return,
            Err(error) => {
                tracing::error!(%error, "time tables can't be worked off");
                look_at = shared.clock.now().plus(STORE_PAUSE);
                tables.clear();
                look_at
            }
        };
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            news = changed.changed() => match news {
                Ok(()) => look_at = shared.clock.now(),
                Err(_) => return,
            },
            () = shared.clock.sleep_until(next) => {}
        }
    }
}

/// A time table of a pipeline in force.
struct Table {
    key: CronKey,
    published: Arc<Published>,
    trigger: CronTrigger,
    table: TimeTable,
    /// Up to which moment it was worked off; none: it is new.
    until: Option<Timestamp>,
}

/// Works off what is due; yields when to look again.
async fn turn(shared: &Shared, tables: &mut Vec<Table>, look_at: &mut Timestamp) -> Result<Timestamp, StoreError> {
    let now = shared.clock.now();
    if now >= *look_at {
        *tables = look(shared).await?;
        *look_at = now.plus(LOOK);
    }
    let mut next = *look_at;
    for table in tables {
        if work_off(shared, table, now).await?.is_none() {
            // It is looked at anew, and the moment is still to come.
            *look_at = now;
            return Ok(now);
        }
        if let Some(due) = table.until.and_then(|until| table.table.next_after(until)) {
            next = next.min(due);
        }
    }
    Ok(next)
}

/// The tables of what is in force, and how they stand. Those that are gone are forgotten.
async fn look(shared: &Shared) -> Result<Vec<Table>, StoreError> {
    let states = shared.store.cron_states().await?;
    let mut tables: Vec<Table> = Vec::new();
    let mut seen = HashSet::new();
    for published in shared.store.pipelines(None).await? {
        let published = Arc::new(published);
        let Pipeline { application, name, .. } = &published.pipeline;
        for (trigger, table) in published.pipeline.time_tables() {
            let key = CronKey { application: application.clone(), pipeline: name.clone(), table: trigger.words() };
            if seen.insert(key.clone()) {
                let until = states.iter().find(|state| state.key == key).map(|state| state.until);
                let (published, trigger) = (Arc::clone(&published), trigger.clone());
                tables.push(Table { key, published, trigger, table, until });
            }
        }
    }
    let gone: Vec<CronKey> = states.into_iter().map(|state| state.key).filter(|key| !seen.contains(key)).collect();
    if !gone.is_empty() {
        shared.store.forget_cron(gone).await?;
    }
    Ok(tables)
}

/// What is to be done about a table.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    /// Nothing was due.
    Nothing,
    /// This moment was the last one.
    Now(Timestamp),
    /// This moment was the last one, and is too long ago.
    Missed(Timestamp),
}

/// What was due after `until`. Pure: the same moments give the same answer.
fn due(table: &TimeTable, until: Timestamp, now: Timestamp, catch_up: Duration) -> Due {
    let Some(first) = table.next_after(until).filter(|first| *first <= now) else { return Due::Nothing };
    let window = catch_up.max(SLACK);
    let begin =
        Timestamp::from_millis(now.as_millis().saturating_sub(i64::try_from(window.as_millis()).unwrap_or(i64::MAX)));
    if first >= begin {
        return Due::Now(table.latest_in(first, now).unwrap_or(first));
    }
    // Not counted one by one: a table of seconds may have missed a year.
    let just_before = Timestamp::from_millis(begin.as_millis().saturating_sub(1));
    table.latest_in(just_before, now).map_or(Due::Missed(first), Due::Now)
}

/// Works a table off up to now; none if what is known of it is out of date.
async fn work_off(shared: &Shared, table: &mut Table, now: Timestamp) -> Result<Option<()>, StoreError> {
    let key = table.key.clone();
    let step = match table.until {
        None => CronStep { key, from: None, until: now, due: None, start: Err(String::new()) },
        Some(from) => {
            let (moment, start) = match due(&table.table, from, now, shared.options.cron_catch_up) {
                Due::Nothing => return Ok(Some(())),
                Due::Now(moment) => match execution(shared, table, moment).await? {
                    Some(start) => (moment, start),
                    None => return Ok(None),
                },
                Due::Missed(moment) => {
                    let text = format!(
                        "missed: it was due at {} and Longboat was not running, or stood still",
                        table.table.in_zone(moment)
                    );
                    (moment, Err(text))
                }
            };
            if let Err(why) = &start {
                let key = &table.key;
                tracing::warn!(application = %key.application, pipeline = %key.pipeline, table = key.table, why, "a time table was due and starts nothing");
            }
            // What was missed is worked off up to now, all of it.
            let until = if start.is_err() { now } else { moment };
            CronStep { key, from: Some(from), until, due: Some(moment), start }
        }
    };
    let until = step.until;
    match shared.store.cron_step(step).await? {
        CronDone::Started(key) => (shared.submit)(key).await,
        CronDone::Waiting(id) => {
            let key = &table.key;
            tracing::info!(application = %key.application, pipeline = %key.pipeline, table = key.table, execution = %id, "a time table was due, and what it started before has not begun yet");
        }
        CronDone::Noted => {}
        CronDone::Overtaken => return Ok(None),
    }
    table.until = Some(until);
    Ok(Some(()))
}

/// The execution for a moment, or why there is none; nothing at all if something else is in force by now.
async fn execution(
    shared: &Shared,
    table: &Table,
    moment: Timestamp,
) -> Result<Option<Result<NewExecution, String>>, StoreError> {
    let published = table.published.as_ref();
    let application = &published.pipeline.application;
    let owner = shared.store.applications().await?.into_iter().find(|owner| owner.name == *application);
    // What the configuration takes away is withdrawn at the start; as long as that waits for an approval, it goes on.
    if !owner.is_some_and(|owner| is_still(&owner, published)) {
        return Ok(None);
    }
    let CronKey { application, pipeline, table: words } = &table.key;
    let start = &table.trigger.start;
    let given = Given {
        published,
        start,
        cause: Cause {
            kind: CauseKind::Cron,
            event: Some(words.clone()),
            scheduled_time: Some(moment),
            ..Cause::default()
        },
        parameters: Map::new(),
        brought: Vec::new(),
        reports: start.report.unwrap_or(false),
        own: OwnStart::Cron { application, pipeline, table: words, moment },
    };
    given.execution(shared).await.map(Some)
}

/// Whether an application still is what its pipeline was published with.
fn is_still(owner: &ApplicationSummary, published: &Published) -> bool {
    owner.repository == published.repository && owner.commit == published.commit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_rfc3339(text).expect("a moment")
    }

    #[test]
    fn what_was_due_is_one_start_and_not_one_that_is_too_old() {
        let table = TimeTable::parse("0 * * * *", None, "").expect("a table");
        let hour = Duration::from_secs(3600);
        let due = |until: &str, now: &str, catch_up| due(&table, at(until), at(now), catch_up);
        let ten = at("2026-03-06T10:00:00Z");
        assert_eq!(due("2026-03-06T09:00:00Z", "2026-03-06T09:59:59Z", hour), Due::Nothing);
        assert_eq!(due("2026-03-06T09:00:00Z", "2026-03-06T10:00:00Z", hour), Due::Now(ten));
        assert_eq!(due("2026-03-06T09:00:00Z", "2026-03-06T10:00:59Z", Duration::ZERO), Due::Now(ten), "a little late");
        assert_eq!(due("2026-03-06T09:00:00Z", "2026-03-06T10:01:01Z", Duration::ZERO), Due::Missed(ten));
        // Down for a day, and up again at a quarter past.
        assert_eq!(due("2026-03-05T09:00:00Z", "2026-03-06T10:15:00Z", hour), Due::Now(ten));
        assert_eq!(
            due("2026-03-05T09:00:00Z", "2026-03-06T10:15:00Z", Duration::from_secs(600)),
            Due::Missed(at("2026-03-05T10:00:00Z"))
        );
        // A clock that was put back.
        assert_eq!(due("2026-03-06T10:00:00Z", "2026-03-06T09:30:00Z", hour), Due::Nothing);
    }

    #[test]
    fn a_table_of_seconds_that_missed_a_year_is_looked_at_once() {
        let table = TimeTable::parse("* * * ? * *", None, "").expect("a table");
        let now = at("2026-03-06T10:00:00Z");
        assert_eq!(due(&table, at("2025-03-06T10:00:00Z"), now, Duration::from_secs(300)), Due::Now(now));
    }
}
