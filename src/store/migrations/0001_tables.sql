-- The tables. One text for SQLite and PostgreSQL: columns are TEXT or BIGINT, times are milliseconds since 1970,
-- documents are JSON in TEXT, truth is 0 or 1.

-- Where keys come from. A row is raised in the transaction that uses the keys, so keys rise in commit order.
CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counter (name, value) VALUES ('inbox', 0), ('outbox', 0), ('execution', 0), ('revision', 0);

-- Who runs which executions: shard = execution % 64. `expires_at` is null where a lock file is the lease.
CREATE TABLE shard (
    shard      BIGINT PRIMARY KEY,
    owner      TEXT NOT NULL,
    epoch      BIGINT NOT NULL,
    expires_at BIGINT
);

-- Where each branch and tag was last seen; without a commit, it is gone.
CREATE TABLE ref_head (
    repository TEXT NOT NULL,
    git_ref    TEXT NOT NULL,
    commit_sha TEXT,
    seq        BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    PRIMARY KEY (repository, git_ref)
);

-- What was noticed. state: pending, done, superseded (a late word; it never was pending).
CREATE TABLE inbox (
    id          BIGINT PRIMARY KEY,
    repository  TEXT NOT NULL,
    git_ref     TEXT NOT NULL,
    seq         BIGINT NOT NULL,
    old_commit  TEXT,
    new_commit  TEXT,
    source      TEXT NOT NULL,
    actor       TEXT,
    event       TEXT,
    state       TEXT NOT NULL,
    attempts    BIGINT NOT NULL,
    error       TEXT,
    received_at BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    settled_at  BIGINT
);
CREATE INDEX inbox_pending ON inbox (repository, id) WHERE state = 'pending';
CREATE INDEX inbox_left ON inbox (repository, git_ref, old_commit, id);
CREATE INDEX inbox_reached ON inbox (repository, git_ref, new_commit, id);

-- Deliveries that came, whatever became of them. One delivery may speak of several refs.
CREATE TABLE delivery (
    repository  TEXT NOT NULL,
    git_ref     TEXT NOT NULL,
    delivery    TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (repository, git_ref, delivery)
);

-- The pipelines in force, and every rendering that ever was.
CREATE TABLE application (
    name         TEXT PRIMARY KEY,
    repository   TEXT NOT NULL,
    branch       TEXT NOT NULL,
    commit_sha   TEXT NOT NULL,
    published_at BIGINT NOT NULL
);
CREATE TABLE revision (
    id          BIGINT PRIMARY KEY,
    application TEXT NOT NULL,
    pipeline    TEXT NOT NULL,
    repository  TEXT NOT NULL,
    commit_sha  TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    document    TEXT NOT NULL
);
CREATE TABLE pipeline (
    application TEXT NOT NULL REFERENCES application (name),
    name        TEXT NOT NULL,
    revision    BIGINT NOT NULL REFERENCES revision (id),
    position    BIGINT NOT NULL,
    PRIMARY KEY (application, name)
);
CREATE INDEX application_repository ON application (repository);

CREATE TABLE findings (
    repository TEXT NOT NULL,
    commit_sha TEXT NOT NULL,
    git_ref    TEXT NOT NULL,
    pipelines  BIGINT NOT NULL,
    found_at   BIGINT NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (repository, commit_sha)
);

CREATE TABLE repository (
    name           TEXT PRIMARY KEY,
    error          TEXT,
    has_files      BIGINT,
    reached_at     BIGINT,
    noted_at       BIGINT NOT NULL,
    settled_ref    TEXT,
    settled_commit TEXT,
    settled_at     BIGINT
);

-- Executions. The narrow table is what every transition rewrites; the wide one is written once.
-- `live` is 1 until the execution ends: the index on the live ones is touched only at birth and end.
CREATE TABLE execution (
    id         BIGINT PRIMARY KEY,
    shard      BIGINT NOT NULL,
    live       BIGINT NOT NULL,
    status     TEXT NOT NULL,
    seq        BIGINT NOT NULL,
    due_at     BIGINT,
    started_at BIGINT,
    ended_at   BIGINT
);
CREATE INDEX execution_live ON execution (shard) WHERE live = 1;
CREATE INDEX execution_ended ON execution (status, id) WHERE live = 0;

CREATE TABLE execution_info (
    id             BIGINT PRIMARY KEY REFERENCES execution (id),
    public_id      TEXT NOT NULL UNIQUE,
    correlation_id TEXT UNIQUE,
    application    TEXT NOT NULL,
    pipeline       TEXT NOT NULL,
    revision       BIGINT,
    repository     TEXT,
    commit_sha     TEXT,
    branch         TEXT,
    created_at     BIGINT NOT NULL,
    cause          TEXT NOT NULL,
    document       TEXT NOT NULL
);
CREATE INDEX execution_info_application ON execution_info (application, id);
CREATE INDEX execution_info_pipeline ON execution_info (application, pipeline, id);
CREATE INDEX execution_info_commit ON execution_info (commit_sha, id);
CREATE INDEX execution_info_repository ON execution_info (repository, id);

CREATE TABLE journal (
    execution BIGINT NOT NULL,
    seq       BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    body      TEXT NOT NULL,
    PRIMARY KEY (execution, seq)
);

-- Commit statuses to be sent. state: pending, sent, obsolete, failed. Without an execution, a row speaks of the
-- commit's files.
CREATE TABLE outbox (
    id         BIGINT PRIMARY KEY,
    order_key  TEXT NOT NULL,
    execution  BIGINT,
    state      TEXT NOT NULL,
    attempts   BIGINT NOT NULL,
    error      TEXT,
    created_at BIGINT NOT NULL,
    due_at     BIGINT NOT NULL,
    ended_at   BIGINT,
    document   TEXT NOT NULL
);
CREATE INDEX outbox_pending ON outbox (order_key, id) WHERE state = 'pending';
CREATE INDEX outbox_order ON outbox (order_key, id);
