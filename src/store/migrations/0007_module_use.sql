-- What the application files of a tracked branch used when it was looked at last: modules, variable files and included
-- files. `used_repository` is a module repository's name, 'std' for what is built in, or '' for the repository itself.
-- Without a module and a file, it is a reference of a file that could not be rendered.
CREATE TABLE module_use (
    repository      TEXT NOT NULL,
    branch          TEXT NOT NULL,
    position        BIGINT NOT NULL,
    application     TEXT,
    file            TEXT NOT NULL,
    used_repository TEXT NOT NULL,
    used_module     TEXT,
    used_file       TEXT,
    reference       TEXT,
    commit_sha      TEXT,
    PRIMARY KEY (repository, branch, position)
);
CREATE INDEX module_use_used ON module_use (used_repository);
