-- The series: a pipeline as it comes from one repository ('' if from none). Executions of a series are found by a number,
-- so that one narrow index serves every list that is narrowed by application, pipeline or repository.
CREATE TABLE series (
    id          BIGINT PRIMARY KEY,
    application TEXT NOT NULL,
    pipeline    TEXT NOT NULL,
    repository  TEXT NOT NULL,
    UNIQUE (application, pipeline, repository)
);
CREATE INDEX series_pipeline ON series (pipeline);
CREATE INDEX series_repository ON series (repository);

-- Without one: created by a version that didn't know of it, until the next start.
ALTER TABLE execution ADD COLUMN series BIGINT;

-- Both number them in the same order. Nothing is compared with a text of the new table, which may still sort otherwise.
INSERT INTO series (id, application, pipeline, repository)
    SELECT ROW_NUMBER() OVER (ORDER BY d.application, d.pipeline, d.repository), d.application, d.pipeline, d.repository
    FROM (SELECT DISTINCT application, pipeline, COALESCE(repository, '') AS repository FROM execution_info) AS d;
UPDATE execution SET series = r.place
    FROM (SELECT id, DENSE_RANK() OVER (ORDER BY application, pipeline, COALESCE(repository, '')) AS place
        FROM execution_info) AS r
    WHERE r.id = execution.id;
INSERT INTO counter (name, value) SELECT 'series', COUNT(*) FROM series;

CREATE INDEX execution_series ON execution (series, id);
CREATE INDEX execution_series_ended ON execution (series, status, id) WHERE live = 0;
CREATE INDEX execution_unsorted ON execution (id) WHERE series IS NULL;
-- What they were looked for by until now; those that have their details are in `execution_info_whole` as well.
DROP INDEX execution_info_application;
DROP INDEX execution_info_pipeline;
