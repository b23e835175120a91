-- The idempotency record of a key.
--
--   KEYS     answers, earlier answers
--   ARGV     idempotency key
--   returns  record or nil
return recall(KEYS[1], KEYS[2], ARGV[1])
