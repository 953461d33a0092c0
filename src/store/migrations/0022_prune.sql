-- What is looked for when rows that nobody needs any more are dropped.
CREATE INDEX delivery_received ON delivery (received_at);
CREATE INDEX findings_found ON findings (found_at);
CREATE INDEX pipeline_revision ON pipeline (revision);

-- An execution without details can't be restarted, so that it never stands in a lane again. From now on its row goes
-- with its details.
DELETE FROM lane WHERE EXISTS (SELECT 1 FROM execution_info i WHERE i.id = lane.execution AND i.summary IS NOT NULL);
