-- Sessions of some partitions that are due by an instant, the soonest of each partition
-- first.
--
--   KEYS     generation, due of each partition
--   ARGV     until_ms, limit of each partition, then their generations
--   returns  {"due", member, instant, member, instant...}
--            | {"fenced", index of a partition...}, from 0
--
-- It runs all the time, so this is also where a new generation is noticed while nothing
-- else happens.
local info = redis.call('info', 'server')
local found, fenced = { 'due' }, { 'fenced' }
for each = 1, #KEYS / 2 do
    if not generation_number(KEYS[2 * each - 1], ARGV[2 + each], info) then
        fenced[#fenced + 1] = each - 1
    elseif #fenced == 1 then
        local due = redis.call('zrangebyscore', KEYS[2 * each], '-inf', ARGV[1], 'withscores', 'limit', 0, ARGV[2])
        for _, part in ipairs(due) do
            found[#found + 1] = part
        end
    end
end
return #fenced > 1 and fenced or found
