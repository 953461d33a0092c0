-- On which node (a state folder, by the id that it keeps) an attempt of a script was begun; `replica` is the name of the
-- process that began it, for people. Only where several replicas share the database.
CREATE TABLE placement (
    execution BIGINT NOT NULL,
    stage     TEXT NOT NULL,
    attempt   BIGINT NOT NULL,
    node      TEXT NOT NULL,
    replica   TEXT NOT NULL,
    placed_at BIGINT NOT NULL,
    PRIMARY KEY (execution, stage, attempt)
);

-- What stages left for all replicas to read: logs and saved files, in pieces. `kind` is 'logs' or 'files', `shelf` what
-- belongs together (an attempt's log), and `execution` the id that people see.
CREATE TABLE piece (
    kind      TEXT NOT NULL,
    execution TEXT NOT NULL,
    shelf     TEXT NOT NULL,
    name      TEXT NOT NULL,
    bytes     BYTEA NOT NULL,
    PRIMARY KEY (kind, execution, shelf, name)
);
