-- Upstream registries whose images the Hub passes on and keeps. prefix is the
-- namespace that shows one, or '' for all names that are nobody's.
CREATE TABLE mirrors (
    id         TEXT PRIMARY KEY,
    prefix     TEXT NOT NULL UNIQUE,
    upstream   TEXT NOT NULL,
    username   TEXT NOT NULL,
    password   TEXT NOT NULL, -- sealed, or ''
    auth_hosts TEXT NOT NULL, -- JSON list
    public     BIGINT NOT NULL,
    fresh      BIGINT NOT NULL, -- seconds
    capacity   BIGINT NOT NULL, -- bytes
    created    BIGINT NOT NULL
);

-- What an upstream said of a tag or digest, and when it last said so.
CREATE TABLE mirror_manifests (
    mirror     TEXT NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    repository TEXT NOT NULL,
    reference  TEXT NOT NULL,
    digest     TEXT NOT NULL,
    media_type TEXT NOT NULL,
    checked    BIGINT NOT NULL,
    PRIMARY KEY (mirror, repository, reference)
);
