-- What is left of an execution whose details are gone: its last view without outputs and evaluated fields. `wanted_at`:
-- somebody was about to restart it then, so that its details are to stay for a while.
ALTER TABLE execution_info ADD COLUMN summary TEXT;
ALTER TABLE execution_info ADD COLUMN wanted_at BIGINT;
-- Those that have their details still, newest of each pipeline last.
CREATE INDEX execution_info_whole ON execution_info (application, pipeline, id) WHERE summary IS NULL;
