-- Pull requests as they were last read, each with what was found in its head and the comment that says so.
CREATE TABLE pull_request (
    repository      TEXT NOT NULL,
    number          BIGINT NOT NULL,
    state           TEXT NOT NULL,
    title           TEXT NOT NULL,
    head            TEXT NOT NULL,
    head_branch     TEXT NOT NULL,
    head_repository TEXT,
    fork            BIGINT NOT NULL,
    target_branch   TEXT NOT NULL,
    author          TEXT,
    merge_commit    TEXT,
    review          TEXT,
    comment_id      TEXT,
    comment_digest  TEXT,
    seen_at         BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    PRIMARY KEY (repository, number)
);
CREATE INDEX pull_request_merge ON pull_request (repository, merge_commit);
CREATE INDEX pull_request_head ON pull_request (repository, head);

-- What a webhook told of a pull request; entries about branches and tags have none.
ALTER TABLE inbox ADD COLUMN document TEXT;

-- Beside the commit, what else tells two states of a pull request apart: whether it is open, and its target.
ALTER TABLE ref_head ADD COLUMN detail TEXT;
CREATE INDEX ref_head_commit ON ref_head (repository, commit_sha);
