-- The first and the last entry of an outbox.
--
--   KEYS     generation, outbox
--   ARGV     generation
--   returns  {"bounds", first entry id, last entry id} | {"none"} | {"fenced"}
if not generation_number(KEYS[1], ARGV[1]) then
    return { 'fenced' }
end
local first = redis.call('xrange', KEYS[2], '-', '+', 'count', 1)[1]
if not first then
    return { 'none' }
end
local last = redis.call('xrevrange', KEYS[2], '+', '-', 'count', 1)[1]
return { 'bounds', first[1], last[1] }
