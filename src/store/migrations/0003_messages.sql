-- The outbox holds messages of several kinds: a row says which, as {"status": ...} or {"comment": ...}.
UPDATE outbox SET document = '{"status":' || document || '}';
