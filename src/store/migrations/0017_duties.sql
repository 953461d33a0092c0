-- Work that one process does for all: who does it, and how often it has changed hands. What that process writes holds only
-- as long as the number is the one under which it began.
CREATE TABLE duty (
    duty  TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    epoch BIGINT NOT NULL
);
-- 1: something else may stand on the forge by now; it is looked up before this is sent.
ALTER TABLE outbox ADD COLUMN look_first BIGINT NOT NULL DEFAULT 0;
