CREATE TABLE repositories (
    id          TEXT PRIMARY KEY,
    namespace   TEXT NOT NULL REFERENCES namespaces (id),
    name        TEXT NOT NULL UNIQUE, -- whole: namespace/rest, or the namespace alone
    storage     TEXT NOT NULL UNIQUE, -- its name in the registry's storage; never changes
    public      BIGINT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    readme      TEXT NOT NULL DEFAULT '',
    pulls       BIGINT NOT NULL DEFAULT 0,
    pulled      BIGINT NOT NULL DEFAULT 0, -- when last
    created     BIGINT NOT NULL,
    updated     BIGINT NOT NULL
);
CREATE INDEX repositories_namespace ON repositories (namespace);
-- Former names, which lead to the repository until somebody takes them.
CREATE TABLE redirects (
    name       TEXT PRIMARY KEY,
    repository TEXT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE
);
CREATE TABLE manifests (
    repository    TEXT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    digest        TEXT NOT NULL,
    media_type    TEXT NOT NULL,
    artifact_type TEXT NOT NULL DEFAULT '',
    size          BIGINT NOT NULL, -- of the manifest itself
    total         BIGINT NOT NULL, -- with config and layers; of an index: its manifests' descriptors
    subject       TEXT NOT NULL DEFAULT '',
    annotations   TEXT NOT NULL DEFAULT '', -- JSON, of those with a subject
    pushed        BIGINT NOT NULL,
    PRIMARY KEY (repository, digest)
);
CREATE INDEX manifests_subject ON manifests (repository, subject);
CREATE TABLE tags (
    repository TEXT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    digest     TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size       BIGINT NOT NULL,
    pushed     BIGINT NOT NULL,
    pusher     TEXT NOT NULL, -- name, then
    pulls      BIGINT NOT NULL DEFAULT 0,
    pulled     BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (repository, name)
);
CREATE INDEX tags_digest ON tags (repository, digest);
CREATE TABLE tag_history (
    id         TEXT PRIMARY KEY,
    repository TEXT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    tag        TEXT NOT NULL,
    digest     TEXT NOT NULL, -- '' when the tag was removed
    previous   TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size       BIGINT NOT NULL,
    action     TEXT NOT NULL, -- push, delete, restore, retention
    time       BIGINT NOT NULL,
    kind       TEXT NOT NULL,
    actor      TEXT NOT NULL,
    name       TEXT NOT NULL
);
CREATE INDEX tag_history_tag ON tag_history (repository, tag, time);
CREATE TABLE grants (
    id         TEXT PRIMARY KEY,
    namespace  TEXT NOT NULL REFERENCES namespaces (id) ON DELETE CASCADE,
    repository TEXT NOT NULL, -- id, or '' for all of the namespace
    kind       TEXT NOT NULL, -- team, user, robot
    subject    TEXT NOT NULL, -- id
    role       BIGINT NOT NULL, -- 1 read, 2 write, 3 admin
    created    BIGINT NOT NULL,
    UNIQUE (namespace, repository, subject)
);
CREATE INDEX grants_subject ON grants (subject);
