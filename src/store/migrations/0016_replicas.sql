-- Several processes on one database (`database.replicas`): who they are, and until when each may act. Times are those of
-- the database's clock. `leaving`: it is about to stop, and takes nothing more. `digest` is of the parts of its
-- configuration that all should have in common.
CREATE TABLE replica (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    node       TEXT NOT NULL,
    version    TEXT NOT NULL,
    journal    BIGINT NOT NULL,
    digest     TEXT NOT NULL,
    leaving    BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
