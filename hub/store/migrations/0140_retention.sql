CREATE TABLE retention_policies (
    repository TEXT PRIMARY KEY REFERENCES repositories (id) ON DELETE CASCADE,
    policy     TEXT NOT NULL, -- JSON
    updated    BIGINT NOT NULL,
    ran        BIGINT NOT NULL, -- when it was last applied
    result     TEXT NOT NULL    -- what that did, JSON
);

-- Places in the registry's storage whose repository was removed.
CREATE TABLE gc_removed (
    storage TEXT PRIMARY KEY,
    removed BIGINT NOT NULL
);
