-- The order of a repository's changes, also of several within one second.
ALTER TABLE tag_history ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0;
