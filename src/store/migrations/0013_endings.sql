-- Which pipelines in force are started by the end of which others: `target` is the other pipeline's name, or its id, and
-- then `target_application` is '*', which is no application's name.
CREATE TABLE listener (
    application        TEXT NOT NULL,
    pipeline           TEXT NOT NULL,
    target_application TEXT NOT NULL,
    target             TEXT NOT NULL,
    PRIMARY KEY (application, pipeline, target_application, target)
);
CREATE INDEX listener_target ON listener (target_application, target);

-- Ends of executions that may start others, and have not been worked off.
CREATE TABLE ending (
    execution BIGINT NOT NULL,
    seq       BIGINT NOT NULL,
    status    TEXT NOT NULL,
    ended_at  BIGINT NOT NULL,
    attempts  BIGINT NOT NULL,
    due_at    BIGINT NOT NULL,
    PRIMARY KEY (execution, seq)
);
