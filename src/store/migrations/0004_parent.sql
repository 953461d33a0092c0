-- Which execution's `pipeline` stage started an execution: the parent's public id.
ALTER TABLE execution_info ADD COLUMN parent TEXT;
CREATE INDEX execution_info_parent ON execution_info (parent, id) WHERE parent IS NOT NULL;
