-- Freezes: one for everything (scope '*', which is no application's name) and one for each application at most. (PostgreSQL
-- has `freeze` as a word of its own.)
CREATE TABLE freezes (
    scope TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    frozen_by TEXT NOT NULL,
    frozen_at BIGINT NOT NULL,
    ends_at BIGINT
);
