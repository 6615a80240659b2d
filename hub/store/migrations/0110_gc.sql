-- When a push last relied on a blob (hub/gc).
CREATE TABLE gc_touches (
    digest  TEXT PRIMARY KEY,
    touched BIGINT NOT NULL
);
CREATE INDEX gc_touches_touched ON gc_touches (touched);

-- What collections did.
CREATE TABLE gc_runs (
    id      TEXT PRIMARY KEY,
    started BIGINT NOT NULL,
    ended   BIGINT NOT NULL,
    dry     BIGINT NOT NULL,
    blobs   BIGINT NOT NULL,
    bytes   BIGINT NOT NULL,
    links   BIGINT NOT NULL,
    spared  BIGINT NOT NULL,
    error   TEXT NOT NULL
);
CREATE INDEX gc_runs_started ON gc_runs (started);
