-- Where a repository's images are built from. kind is hub (a Git repository
-- that the Hub serves) or git (one elsewhere, whose hook tells of pushes).
CREATE TABLE build_sources (
    repository TEXT PRIMARY KEY REFERENCES repositories (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL,
    url        TEXT NOT NULL,
    hook       TEXT NOT NULL UNIQUE,
    secret     TEXT NOT NULL, -- sealed
    engine     TEXT NOT NULL,
    rules      TEXT NOT NULL, -- JSON
    created    BIGINT NOT NULL
);

-- What each ref of a hosted Git repository was when builds were last made of it.
CREATE TABLE build_refs (
    repository TEXT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    ref        TEXT NOT NULL,
    sha        TEXT NOT NULL,
    PRIMARY KEY (repository, ref)
);

CREATE TABLE builds (
    id         TEXT PRIMARY KEY,
    repository TEXT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    ref        TEXT NOT NULL,
    sha        TEXT NOT NULL,
    rule       TEXT NOT NULL, -- JSON
    engine     TEXT NOT NULL,
    actor      TEXT NOT NULL, -- name, then
    state      TEXT NOT NULL,
    created    BIGINT NOT NULL,
    started    BIGINT NOT NULL,
    ended      BIGINT NOT NULL,
    beat       BIGINT NOT NULL, -- when its node last said that it runs
    tries      BIGINT NOT NULL,
    cancel     BIGINT NOT NULL,
    robot      TEXT NOT NULL,   -- the robot that pushes, while it does
    digest     TEXT NOT NULL,
    error      TEXT NOT NULL
);
CREATE INDEX builds_repository ON builds (repository, created);
CREATE INDEX builds_state ON builds (state, created);

CREATE TABLE build_logs (
    build TEXT NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    start BIGINT NOT NULL, -- offset of the first byte
    text  TEXT NOT NULL,   -- base64
    PRIMARY KEY (build, start)
);
