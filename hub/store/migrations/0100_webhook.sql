-- What is called when something happens. owner is the id of a repository or of
-- a namespace, whose repositories it is then for.
CREATE TABLE webhooks (
    id      TEXT PRIMARY KEY,
    owner   TEXT NOT NULL,
    url     TEXT NOT NULL,
    events  TEXT NOT NULL, -- JSON list of names
    secret  TEXT NOT NULL, -- sealed
    active  BIGINT NOT NULL,
    created BIGINT NOT NULL
);
CREATE INDEX webhooks_owner ON webhooks (owner);

-- One event for one webhook. state is pending, delivered or failed.
CREATE TABLE webhook_deliveries (
    id       TEXT PRIMARY KEY,
    webhook  TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event    TEXT NOT NULL,
    body     TEXT NOT NULL,
    state    TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next     BIGINT NOT NULL, -- when it is tried (again), of one that is pending
    claimed  BIGINT NOT NULL, -- until when a node has it in hand
    created  BIGINT NOT NULL,
    again    TEXT NOT NULL    -- the delivery that it repeats, or empty
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (state, next);
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (webhook, created);

CREATE TABLE webhook_attempts (
    delivery TEXT NOT NULL REFERENCES webhook_deliveries (id) ON DELETE CASCADE,
    number   BIGINT NOT NULL,
    started  BIGINT NOT NULL,
    millis   BIGINT NOT NULL,
    status   BIGINT NOT NULL, -- HTTP, 0 without an answer
    answer   TEXT NOT NULL,   -- the beginning of the answer's body
    error    TEXT NOT NULL,
    PRIMARY KEY (delivery, number)
);
