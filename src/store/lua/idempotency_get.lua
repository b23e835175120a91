-- What an idempotency key was answered with.
--
--   KEYS     answers, earlier answers
--   ARGV     repeat key
--   returns  answer or nil
return recall(KEYS[1], KEYS[2], ARGV[1])
