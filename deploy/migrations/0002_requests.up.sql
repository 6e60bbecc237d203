-- Requests by caller and id, with the reply when there is one: the same request is answered once.
CREATE TABLE tee_requests (
    caller TEXT NOT NULL,
    request_id TEXT NOT NULL,
    hash TEXT NOT NULL,
    reply TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (caller, request_id)
);
CREATE INDEX tee_requests_created ON tee_requests (created_at);
