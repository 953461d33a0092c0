-- Time tables of the pipelines in force: up to which moment each was worked off, and what came of it last. `time_table`
-- is the schedule and its zone.
CREATE TABLE cron (
    application TEXT NOT NULL,
    pipeline    TEXT NOT NULL,
    time_table  TEXT NOT NULL,
    until       BIGINT NOT NULL,
    last_due    BIGINT,
    execution   BIGINT,
    outcome     TEXT,
    PRIMARY KEY (application, pipeline, time_table)
);
