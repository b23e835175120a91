-- The size of an outbox.
--
--   KEYS     generation, outbox, bodies
--   ARGV     generation
--   returns  {"size", entries, bytes} | {"fenced"}
if not generation_number(KEYS[1], ARGV[1]) then
    return { 'fenced' }
end
local entries = redis.call('xlen', KEYS[2])
if entries == 0 then
    return { 'size', 0, 0 }
end
local links = redis.call('memory', 'usage', KEYS[2]) or 0
return { 'size', entries, links + (redis.call('memory', 'usage', KEYS[3]) or 0) }
