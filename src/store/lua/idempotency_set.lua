-- Remembers an idempotency record, unless its key has one.
--
--   KEYS     generation, answers, earlier answers
--   ARGV     generation, idempotency_ttl_ms, idempotency key, record
--   returns  {"answered", the record that stands} | {"fenced"}
if not generation_number(KEYS[1], ARGV[1]) then
    return { 'fenced' }
end
local before = recall(KEYS[2], KEYS[3], ARGV[3])
if before then
    return { 'answered', before }
end
remember(KEYS[2], KEYS[3], ARGV[3], ARGV[4], 64, 10000, ARGV[2], ARGV[2])
return { 'answered', ARGV[4] }
