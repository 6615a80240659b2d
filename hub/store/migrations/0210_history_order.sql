-- Several changes of a tag within one second keep their order.
ALTER TABLE tag_history ADD COLUMN nanosecond BIGINT NOT NULL DEFAULT 0;
