-- What happens within one second keeps its order.
ALTER TABLE audit ADD COLUMN nanosecond BIGINT NOT NULL DEFAULT 0;
-- The place of a build among those of its repository.
ALTER TABLE builds ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0;
