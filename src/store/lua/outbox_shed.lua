-- Sheds bodies of versions that were followed by others, oldest first, until enough bytes
-- are free or a thousand entries were examined. Links stay.
--
--   KEYS     generation, outbox, bodies
--   ARGV     generation, bytes to free, where to begin, prefix of the partition's states
--   returns  {"shed", bytes, bodies, where to go on or ""} | {"fenced"}
--
-- The states are of the same partition, so this server holds them.
if not generation_number(KEYS[1], ARGV[1]) then
    return { 'fenced' }
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
        -- The entry's one field begins with a format and the session's name.
        local member = string.match(entry[2][2], '^%d+ (%S+) ') or ''
        local header = redis.call('hget', ARGV[4] .. member, 'h') or ''
        local newest = string.match(header, '^1 %d %x+ %d+ %S+ (%S+) ')
        if newest and newest ~= last then
            redis.call('hdel', KEYS[3], last)
            freed, count = freed + size, count + 1
        end
    end
end
local is_end = #entries < 1000 and freed < wanted
return { 'shed', freed, count, is_end and '' or '(' .. last }
