-- Lets go of the bodies of versions that were followed by others, oldest first, until
-- so many bytes are free or a thousand entries were looked at. Links stay.
--
--   KEYS     life, outbox, bodies
--   ARGV     life, bytes to free, where to begin, what stands before a member in the
--            name of its state
--   returns  {"shed", bytes, bodies, where to go on or ""} | {"life"}
--
-- The states are of the same partition, so they stand where this runs.
if not number_of_life(KEYS[1], ARGV[1]) then
    return { 'life' }
end
local wanted, freed, count, last = tonumber(ARGV[2]), 0, 0, ''
local entries = redis.call('xrange', KEYS[2], ARGV[3], '+', 'count', 1000)
for _, entry in ipairs(entries) do
    if freed >= wanted then
        break
    end
    last = entry[1]
    local size = redis.call('hstrlen', KEYS[3], last)
    if size > 0 then
        -- Its one field begins with a format and whose session it is of.
        local member = string.match(entry[2][2], '^%d+ (%S+) ') or ''
        local front = redis.call('hget', ARGV[4] .. member, 'h') or ''
        local newest = string.match(front, '^1 %d %x+ %d+ %S+ (%S+) ')
        if newest and newest ~= last then
            redis.call('hdel', KEYS[3], last)
            freed, count = freed + size, count + 1
        end
    end
end
local is_end = #entries < 1000 and freed < wanted
return { 'shed', freed, count, is_end and '' or '(' .. last }
