-- What somebody asks of an execution that another replica has (`document`), until that one's answer has been read.
CREATE TABLE wish (
    id         BIGINT PRIMARY KEY,
    execution  BIGINT NOT NULL,
    shard      BIGINT NOT NULL,
    document   TEXT NOT NULL,
    answer     TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX wish_open ON wish (id) WHERE answer IS NULL;
INSERT INTO counter (name, value) VALUES ('wish', 0), ('freezes', 0);

-- Up to which change of the freezes (their counter) each replica heeds them.
CREATE TABLE heeded (
    replica  TEXT PRIMARY KEY,
    freezes  BIGINT NOT NULL,
    noted_at BIGINT NOT NULL
);

-- How many executions may run in the lane once this one does, and the executions (ids, as JSON) that wait for its end.
ALTER TABLE lane ADD COLUMN most BIGINT;
ALTER TABLE lane ADD COLUMN awaited_by TEXT;

-- The version that a program has to know to go on with the execution; none: the first.
ALTER TABLE execution_info ADD COLUMN needs BIGINT;
