-- Remembers what an idempotency key was answered with, unless it was answered before.
--
--   KEYS     life, answers, earlier answers
--   ARGV     life, answered_ms, repeat key, answer
--   returns  {"answered", the answer that stands} | {"life"}
if not number_of_life(KEYS[1], ARGV[1]) then
    return { 'life' }
end
local before = recall(KEYS[2], KEYS[3], ARGV[3])
if before then
    return { 'answered', before }
end
remember(KEYS[2], KEYS[3], ARGV[3], ARGV[4], 64, 10000, ARGV[2], ARGV[2])
return { 'answered', ARGV[4] }
