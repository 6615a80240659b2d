-- Repositories that users marked, to find them again and for others to see.
CREATE TABLE stars (
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    repository TEXT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    created    BIGINT NOT NULL,
    PRIMARY KEY (user_id, repository)
);
CREATE INDEX stars_repository ON stars (repository);
