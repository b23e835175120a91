-- How much waits for the ledger.
--
--   KEYS     life, outbox, bodies
--   ARGV     life
--   returns  {"weight", entries, bytes} | {"life"}
if not number_of_life(KEYS[1], ARGV[1]) then
    return { 'life' }
end
local entries = redis.call('xlen', KEYS[2])
if entries == 0 then
    return { 'weight', 0, 0 }
end
local links = redis.call('memory', 'usage', KEYS[2]) or 0
return { 'weight', entries, links + (redis.call('memory', 'usage', KEYS[3]) or 0) }
