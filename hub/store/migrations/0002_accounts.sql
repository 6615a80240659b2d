-- A namespace is the first part of a repository's name. A user's has the id of
-- the user, an organisation's that of the organisation.
CREATE TABLE namespaces (
    id      TEXT PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    kind    TEXT NOT NULL, -- user, organisation
    display TEXT NOT NULL DEFAULT '',
    about   TEXT NOT NULL DEFAULT '',
    created BIGINT NOT NULL
);
CREATE TABLE users (
    id       TEXT PRIMARY KEY REFERENCES namespaces (id) ON DELETE CASCADE,
    email    TEXT NOT NULL DEFAULT '',
    password TEXT NOT NULL,          -- argon2id, in PHC's form
    changed  BIGINT NOT NULL,        -- when the password was set
    admin    BIGINT NOT NULL DEFAULT 0,
    disabled BIGINT NOT NULL DEFAULT 0,
    totp     TEXT NOT NULL DEFAULT '',   -- secret, base32
    totp_on  BIGINT NOT NULL DEFAULT 0,  -- 1 once a code confirmed the secret
    totp_step BIGINT NOT NULL DEFAULT 0  -- last step whose code was used
);
CREATE TABLE recovery_codes (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash    TEXT NOT NULL,
    PRIMARY KEY (user_id, hash)
);
CREATE TABLE sessions (
    hash    TEXT PRIMARY KEY, -- SHA-256 of the cookie
    id      TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    csrf    TEXT NOT NULL,
    created BIGINT NOT NULL,
    seen    BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    remote  TEXT NOT NULL,
    agent   TEXT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE TABLE access_tokens (
    id      TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name    TEXT NOT NULL,
    hash    TEXT NOT NULL UNIQUE, -- SHA-256: the token has 128 random bits
    scopes  TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,      -- 0 is never
    used    BIGINT NOT NULL DEFAULT 0,
    UNIQUE (user_id, name)
);
CREATE TABLE attempts (
    key      TEXT PRIMARY KEY,
    failures BIGINT NOT NULL,
    last     BIGINT NOT NULL,
    until    BIGINT NOT NULL
);
CREATE TABLE members (
    organisation TEXT NOT NULL REFERENCES namespaces (id) ON DELETE CASCADE,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role         TEXT NOT NULL, -- owner, member
    PRIMARY KEY (organisation, user_id)
);
CREATE INDEX members_user ON members (user_id);
CREATE TABLE teams (
    id           TEXT PRIMARY KEY,
    organisation TEXT NOT NULL REFERENCES namespaces (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    about        TEXT NOT NULL DEFAULT '',
    created      BIGINT NOT NULL,
    UNIQUE (organisation, name)
);
CREATE TABLE team_members (
    team    TEXT NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (team, user_id)
);
CREATE INDEX team_members_user ON team_members (user_id);
CREATE TABLE robots (
    id        TEXT PRIMARY KEY,
    namespace TEXT NOT NULL REFERENCES namespaces (id) ON DELETE CASCADE,
    name      TEXT NOT NULL,
    about     TEXT NOT NULL DEFAULT '',
    hash      TEXT NOT NULL UNIQUE,
    changed   BIGINT NOT NULL,
    created   BIGINT NOT NULL,
    expires   BIGINT NOT NULL, -- 0 is never
    disabled  BIGINT NOT NULL DEFAULT 0,
    used      BIGINT NOT NULL DEFAULT 0,
    UNIQUE (namespace, name)
);
CREATE TABLE audit (
    id        TEXT PRIMARY KEY,
    time      BIGINT NOT NULL,
    kind      TEXT NOT NULL, -- of the actor
    actor     TEXT NOT NULL, -- its id
    name      TEXT NOT NULL, -- its name, then
    remote    TEXT NOT NULL,
    action    TEXT NOT NULL,
    namespace TEXT NOT NULL,
    target    TEXT NOT NULL,
    result    TEXT NOT NULL, -- ok, refused
    detail    TEXT NOT NULL
);
CREATE INDEX audit_time ON audit (time);
CREATE INDEX audit_namespace ON audit (namespace, time);
CREATE INDEX audit_actor ON audit (actor, time);
