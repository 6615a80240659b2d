-- Pages of tags that an upstream gave, and when. query is the page's size and
-- the tag before it.
CREATE TABLE mirror_tags (
    mirror     TEXT NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    repository TEXT NOT NULL,
    query      TEXT NOT NULL,
    page       TEXT NOT NULL, -- JSON
    checked    BIGINT NOT NULL,
    PRIMARY KEY (mirror, repository, query)
);
