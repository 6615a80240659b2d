-- Webhooks of users and organisations that were removed: nothing is told to
-- them any more, but nobody could remove them.
DELETE FROM webhooks WHERE owner NOT IN (SELECT id FROM namespaces) AND owner NOT IN (SELECT id FROM repositories);
