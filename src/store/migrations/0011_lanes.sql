-- Executions of pipelines that only so many of may run at once: in which lane each stands (`pipeline shop/deploy`,
-- `lock prod-db`). Those that any number of may run at once have no row.
CREATE TABLE lane (
    execution BIGINT PRIMARY KEY,
    name      TEXT NOT NULL
);
CREATE INDEX lane_name ON lane (name, execution);
