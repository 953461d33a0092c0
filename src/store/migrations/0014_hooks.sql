-- What custom webhooks brought. state: pending, done; what is done is kept for a while, without its payload, so that a
-- repeated delivery is known.
CREATE TABLE hook (
    id          BIGINT PRIMARY KEY,
    source      TEXT NOT NULL,
    delivery    TEXT NOT NULL,
    payload     TEXT,
    state       TEXT NOT NULL,
    attempts    BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    UNIQUE (source, delivery)
);
CREATE INDEX hook_pending ON hook (due_at) WHERE state = 'pending';
CREATE INDEX hook_received ON hook (received_at);
INSERT INTO counter (name, value) VALUES ('hook', 0);
