-- The ends of what waits for the ledger.
--
--   KEYS     life, outbox
--   ARGV     life
--   returns  {"waiting", first ticket, last ticket} | {"none"} | {"life"}
if not number_of_life(KEYS[1], ARGV[1]) then
    return { 'life' }
end
local first = redis.call('xrange', KEYS[2], '-', '+', 'count', 1)[1]
if not first then
    return { 'none' }
end
local last = redis.call('xrevrange', KEYS[2], '+', '-', 'count', 1)[1]
return { 'waiting', first[1], last[1] }
