//! The statement by which a list of executions is found, newest first.
//!
//! A list has to answer at once beside a million executions that have ended, whether there are no matches, few or many.
//! So each statement says itself by which index the ids of the page are found, and nothing is left to what a planner
//! believes about columns that depend on each other:
//!
//! - What a commit or a parent started is few: its index, and all else is looked at row by row. (Of a commit that had
//!   tens of thousands of executions, which needs a time table and a repository in which nothing happens, a list that is
//!   narrowed further takes longer.)
//! - What has not ended is few as well: all of it.
//! - Application, pipeline and repository, in any combination, are series (`series`): the newest execution of each that
//!   fits, by one look into an index, and the page is merged from those that come first.
//! - A repository or a status alone has an index of its own.

use super::connection::Backend;
use super::{ExecutionFilter, StoreError};

/// What of an execution a list shows.
const SHOWN: &str = "e.id, e.status, e.started_at, e.ended_at, i.public_id, i.application, i.pipeline, i.repository, \
     i.commit_sha, i.branch, i.created_at, i.cause";

/// A statement with what is bound.
pub(super) struct Search {
    /// The text; put together from constants alone.
    pub(super) sql: String,
    /// `$1`: the key before which the page lies.
    pub(super) before: i64,
    /// From `$2` on.
    pub(super) texts: Vec<String>,
}

impl Search {
    /// The statement for the first `rows` of a list. How many these are stands in the text: PostgreSQL plans for a
    /// tenth of the table where it isn't told.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`] for a cursor that no page gave out.
    pub(super) fn new(filter: &ExecutionFilter, rows: u32, backend: Backend) -> Result<Self, StoreError> {
        let before = match &filter.cursor {
            None => i64::MAX,
            Some(cursor) => cursor.parse().map_err(|_| StoreError::BadCursor { cursor: cursor.clone() })?,
        };
        let mut texts = Vec::new();
        // The condition that a column has this value, if it is asked for.
        let mut is = |column: &'static str, value: Option<String>| {
            value.map(|value| {
                texts.push(value);
                Condition { column, place: texts.len() + 1 }
            })
        };
        let status = is("status", filter.status.map(|status| status.as_str().to_owned()));
        let names: Vec<Condition> = [
            is("application", filter.application.as_ref().map(ToString::to_string)),
            is("pipeline", filter.pipeline.as_ref().map(ToString::to_string)),
            is("repository", filter.repository.as_ref().map(ToString::to_string)),
        ]
        .into_iter()
        .flatten()
        .collect();
        let few: Vec<Condition> = [
            is("parent", filter.parent.as_ref().map(ToString::to_string)),
            is("commit_sha", filter.commit.as_ref().map(ToString::to_string)),
        ]
        .into_iter()
        .flatten()
        .collect();
        let ended = filter.status.is_none_or(crate::model::Status::is_complete);
        let page = Page { rows, backend };
        let sql = match (&few[..], &names[..], status) {
            (_, _, Some(status)) if !ended => page.of_living(status, names.iter().chain(&few)),
            ([], [], None) => page.newest(),
            ([], [], Some(status)) => page.by_index("execution", " AND live = 0", status),
            ([], [name], None) if name.column == "repository" => page.by_index("execution_info", "", *name),
            ([], names, status) => page.by_series(names, status),
            ([only], [], None) if only.column == "commit_sha" => page.by_index("execution_info", "", *only),
            ([first, few @ ..], names, status) => page.of_few(*first, few.iter().chain(names), status),
        };
        Ok(Self { sql, before, texts })
    }
}

/// That a column has the value that is bound as `$place`.
#[derive(Clone, Copy)]
struct Condition {
    column: &'static str,
    place: usize,
}

impl Condition {
    fn of(self, table: &str) -> String {
        format!(" AND {table}.{} = ${}", self.column, self.place)
    }
}

/// How many rows, of which database.
#[derive(Clone, Copy)]
struct Page {
    rows: u32,
    backend: Backend,
}

impl Page {
    /// The rows of those that a table `found` has the ids of.
    fn shown(self) -> String {
        // SQLite takes tables that are crossed in the order in which they stand.
        format!(
            "SELECT {SHOWN} FROM found f CROSS JOIN execution e CROSS JOIN execution_info i \
             WHERE e.id = f.id AND i.id = f.id ORDER BY f.id DESC LIMIT {}",
            self.rows
        )
    }

    /// Whatever they are.
    fn newest(self) -> String {
        format!(
            "WITH found AS MATERIALIZED (SELECT id FROM execution WHERE id < $1 ORDER BY id DESC LIMIT {}) {}",
            self.rows,
            self.shown()
        )
    }

    /// By the index on a column and the id. Compared and sorted as pairs, they can be found by no other: a planner that
    /// took the primary key because the value is frequent would read everything that came after the last of them.
    fn by_index(self, table: &str, besides: &str, Condition { column, place }: Condition) -> String {
        format!(
            "WITH found AS MATERIALIZED (SELECT id FROM {table} WHERE ({column}, id) > (${place}, 0) \
             AND ({column}, id) < (${place}, $1){besides} ORDER BY {column} DESC, id DESC LIMIT {}) {}",
            self.rows,
            self.shown()
        )
    }

    /// Those that have not ended and fit.
    fn of_living<'a>(self, status: Condition, others: impl Iterator<Item = &'a Condition>) -> String {
        let others: String = others.map(|condition| condition.of("i")).collect();
        format!(
            "WITH alive AS MATERIALIZED (SELECT * FROM execution WHERE live = 1) \
             SELECT {SHOWN} FROM alive e CROSS JOIN execution_info i WHERE i.id = e.id AND e.id < $1{}{others} \
             ORDER BY e.id DESC LIMIT {}",
            status.of("e"),
            self.rows
        )
    }

    /// Those of a commit or a parent that fit.
    fn of_few<'a>(
        self,
        first: Condition,
        others: impl Iterator<Item = &'a Condition>,
        status: Option<Condition>,
    ) -> String {
        // Of a value that is worked out no index knows, so that the first condition is the one that leads.
        let others: String =
            others.map(|Condition { column, place }| format!(" AND COALESCE(i.{column}, '') = ${place}")).collect();
        let status = status.map_or_else(String::new, |status| status.of("e"));
        format!(
            "SELECT {SHOWN} FROM execution_info i CROSS JOIN execution e \
             WHERE e.id = i.id AND i.id < $1{}{others}{status} ORDER BY i.id DESC LIMIT {}",
            first.of("i"),
            self.rows
        )
    }

    /// Those of the series that fit.
    fn by_series(self, names: &[Condition], status: Option<Condition>) -> String {
        let names: String = names.iter().map(|name| name.of("s")).collect();
        let series = format!("series s WHERE s.id > 0{names}");
        match self.backend {
            Backend::Sqlite => self.merged(&series, status),
            Backend::Postgres => self.gathered(&series, status),
        }
    }

    /// On SQLite, a recursive statement with an order is a queue: it holds the newest of each series that has not been
    /// on the page, hands out the newest of all, and takes in the next of the same series.
    fn merged(self, series: &str, status: Option<Condition>) -> String {
        let ended = status.map_or_else(String::new, |status| format!("{} AND x.live = 0", status.of("x")));
        let newest = |series: &str, before: &str| {
            format!(
                "(SELECT x.id FROM execution x WHERE x.series = {series}{ended} AND x.id < {before} \
                 ORDER BY x.id DESC LIMIT 1)"
            )
        };
        // A series with nothing more yields no id, which comes last and meets no row.
        format!(
            "WITH RECURSIVE found (id, series) AS (SELECT {}, s.id FROM {series} UNION ALL \
             SELECT {}, m.series FROM found m WHERE m.id IS NOT NULL ORDER BY 1 DESC LIMIT {}) {}",
            newest("s.id", "$1"),
            newest("m.series", "m.id"),
            self.rows,
            self.shown()
        )
    }

    /// PostgreSQL has no such queue. What is on the page is of those series whose newest come first, as many as the page
    /// has rows, and not older than the oldest of these.
    fn gathered(self, series: &str, status: Option<Condition>) -> String {
        let rows = self.rows;
        // Only compared as a whole, for the reason that `by_index` tells, and only from above: of a bound below, an index
        // scan heeds no more than the first column. Whether what was met is what was looked for is asked afterwards.
        let (columns, order, ended, value) = match status {
            None => ("x.series, x.id", "x.series DESC, x.id DESC", "", String::new()),
            Some(Condition { place, .. }) => {
                let order = "x.series DESC, x.status DESC, x.id DESC";
                ("x.series, x.status, x.id", order, "x.live = 0 AND ", format!(", ${place}"))
            }
        };
        let met = |table: &str, series: &str| {
            let status = status.map_or_else(String::new, |status| status.of(table));
            format!("{table}.series = {series}{status}")
        };
        let below = |series: &str| {
            format!("FROM execution x WHERE {ended}({columns}) < ({series}{value}, $1) ORDER BY {order}")
        };
        format!(
            "WITH heads AS MATERIALIZED (SELECT s.id AS series, \
             (SELECT CASE WHEN {} THEN x.id END {} LIMIT 1) AS head FROM {series}), \
             best AS MATERIALIZED (SELECT series, head FROM heads WHERE head IS NOT NULL ORDER BY head DESC LIMIT {rows}), \
             oldest AS MATERIALIZED (SELECT CASE WHEN COUNT(*) < {rows} THEN 0 ELSE MIN(head) END AS id FROM best), \
             found AS MATERIALIZED (SELECT y.id FROM oldest o CROSS JOIN best b CROSS JOIN LATERAL \
             (SELECT {columns} {} LIMIT {rows}) y WHERE {} AND y.id >= o.id ORDER BY y.id DESC LIMIT {rows}) {}",
            met("x", "s.id"),
            below("s.id"),
            below("b.series"),
            met("y", "b.series"),
            self.shown()
        )
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

    use super::*;
    use crate::clock::Clock;
    use crate::model::{ExecutionId, Status};
    use crate::store::contract::sample::{application, pipeline_name, repository, sha};
    use crate::store::contract::server::with_database;
    use crate::store::rows::Row;
    use crate::store::{Store, StoreOptions};

    /// All combinations of what a list can be narrowed by, each with the indexes one of which has to lead to it.
    fn lists() -> Vec<(ExecutionFilter, &'static [&'static str])> {
        let mut lists = Vec::new();
        for status in [None, Some(Status::Succeeded), Some(Status::Terminal), Some(Status::Running)] {
            for parts in 0..32_u8 {
                let has = |part: u8| parts & (1 << part) != 0;
                let filter = ExecutionFilter {
                    application: has(0).then(|| application("big")),
                    pipeline: has(1).then(|| pipeline_name("deploy-1")),
                    repository: has(2).then(|| repository("acme/big")),
                    commit: has(3).then(|| sha(7)),
                    parent: has(4).then(ExecutionId::generate),
                    status,
                    ..ExecutionFilter::default()
                };
                let indexes: &[&str] = match (status.map(Status::is_complete), parts) {
                    (Some(false), _) => &["execution_live"],
                    (None, 0) => &["sqlite_autoindex_execution_1 ", "execution_pkey "],
                    (Some(true), 0) => &["execution_ended "],
                    (None, 0b100) => &["execution_info_repository "],
                    (_, 0b1000..0b1_0000) => &["execution_info_commit "],
                    (_, 0b1_0000..) => &["execution_info_parent "],
                    (None, _) => &["execution_series "],
                    (Some(true), _) => &["execution_series_ended "],
                };
                lists.push((filter, indexes));
            }
        }
        lists
    }

    /// The steps by which the database would make a list.
    async fn plan(store: &Store, filter: &ExecutionFilter, backend: Backend) -> String {
        let Search { sql, before, texts } = Search::new(filter, 51, backend).expect("a good filter");
        let (explain, column) = match backend {
            Backend::Sqlite => ("EXPLAIN QUERY PLAN", "detail"),
            Backend::Postgres => ("EXPLAIN", "QUERY PLAN"),
        };
        let mut query = sqlx::query(AssertSqlSafe(format!("{explain} {sql}"))).bind(before);
        for text in texts {
            query = query.bind(text);
        }
        let rows = query.fetch_all(store.reads()).await.expect("explains");
        let steps: Vec<String> = rows.iter().map(|row| Row::of("plan", row).text(column).expect("a step")).collect();
        steps.join("\n")
    }

    #[tokio::test]
    async fn each_list_is_led_to_by_its_index() {
        let store = Store::temporary(Clock::system()).await.expect("opens");
        for (filter, indexes) in lists() {
            let steps = plan(&store, &filter, Backend::Sqlite).await;
            assert!(indexes.iter().any(|index| steps.contains(index)), "{filter:?}\n{steps}");
            for step in steps.lines().filter(|step| step.starts_with("SCAN")) {
                // What was found, the queue, and those that have not ended.
                let living = indexes == ["execution_live"] && (step == "SCAN e" || step.ends_with("execution_live"));
                assert!(["SCAN f", "SCAN m"].contains(&step) || living, "{filter:?}\n{steps}");
            }
        }
    }

    /// With statistics by which most lists could as well be read from the newest execution backwards, though some would
    /// then read all there are.
    #[tokio::test]
    async fn each_list_is_led_to_by_its_index_on_a_server_whatever_is_frequent() {
        with_database(|url| async move {
            let options = StoreOptions { durable: false, ..StoreOptions::new(&*url, "first") };
            Store::open(options.clone(), Clock::system()).await.expect("makes the tables").close().await;
            let mut other = PgConnection::connect(&url).await.expect("connects");
            let fill = "\
                INSERT INTO series (id, application, pipeline, repository) \
                    SELECT n, CASE WHEN n < 6 THEN 'big' ELSE 'small-' || n END, 'deploy-' || (n % 5), \
                    CASE WHEN n < 6 THEN 'acme/big' ELSE 'acme/small' END FROM generate_series(1, 20) n; \
                INSERT INTO execution (id, shard, live, status, seq, series) \
                    SELECT n, n % 64, 0, CASE WHEN n % 100 = 0 THEN 'TERMINAL' ELSE 'SUCCEEDED' END, 3, \
                    CASE WHEN n % 100 = 7 THEN 6 + n / 100 % 14 ELSE 1 + n % 5 END FROM generate_series(1, 20000) n; \
                INSERT INTO execution_info (id, public_id, application, pipeline, repository, commit_sha, created_at, \
                    cause, document) \
                    SELECT e.id, 'id-' || e.id, s.application, s.pipeline, s.repository, lpad(to_hex(e.id / 2), 40, '0'), \
                    1, '{}', repeat(md5(e.id::text), 20) FROM execution e JOIN series s ON s.id = e.series; \
                ANALYZE";
            for statement in fill.split("; ") {
                sqlx::query(statement).execute(&mut other).await.expect("does it");
            }
            for mode in ["force_custom_plan", "force_generic_plan"] {
                let set = format!("ALTER DATABASE {} SET plan_cache_mode = {mode}", url.rsplit_once('/').expect("a URL").1);
                sqlx::query(AssertSqlSafe(set)).execute(&mut other).await.expect("does it");
                let store = Store::open(options.clone(), Clock::system()).await.expect("opens");
                for (filter, indexes) in lists() {
                    let steps = plan(&store, &filter, Backend::Postgres).await;
                    assert!(indexes.iter().any(|index| steps.contains(index)), "{mode} {filter:?}\n{steps}");
                    assert!(!steps.contains("Seq Scan on execution"), "{mode} {filter:?}\n{steps}");
                }
                store.close().await;
            }
        })
        .await;
    }
}
