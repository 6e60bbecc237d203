-- Audit entries as core signed them, and the attestation document of each boot.
CREATE TABLE tee_audit (
    boot TEXT NOT NULL,
    counter BIGINT NOT NULL,
    entry TEXT NOT NULL,
    signature TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (boot, counter)
);
CREATE TABLE tee_boots (
    boot TEXT PRIMARY KEY NOT NULL,
    document TEXT,
    created_at TIMESTAMPTZ NOT NULL
);
