-- Keys that sign the registry's tokens: the newest signs, all verify.
CREATE TABLE signing_keys (
    id      TEXT PRIMARY KEY, -- kid
    private TEXT NOT NULL,    -- PKCS #8, base64
    created BIGINT NOT NULL
);
