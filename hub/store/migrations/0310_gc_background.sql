-- A collection that runs has ended = 0, and beat is when its node last said so.
ALTER TABLE gc_runs ADD COLUMN beat BIGINT NOT NULL DEFAULT 0;
ALTER TABLE gc_runs ADD COLUMN unreadable TEXT NOT NULL DEFAULT '[]'; -- JSON list of repositories
