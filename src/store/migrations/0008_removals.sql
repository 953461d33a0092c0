-- Commits that take away more pipelines than one commit may: each waits for somebody who approves it, or was approved.
-- `inbox` is the entry that is worked off once more then. `document` is the list of the pipelines.
CREATE TABLE removal (
    repository  TEXT NOT NULL,
    git_ref     TEXT NOT NULL,
    commit_sha  TEXT NOT NULL,
    inbox       BIGINT,
    in_force    BIGINT NOT NULL,
    refused_at  BIGINT NOT NULL,
    approved_by TEXT,
    approved_at BIGINT,
    document    TEXT NOT NULL,
    PRIMARY KEY (repository, git_ref, commit_sha)
);
