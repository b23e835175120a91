-- Sessions of some partitions that something must happen to by an instant, the soonest
-- of each partition first.
--
--   KEYS     life, due of each partition
--   ARGV     until_ms, how many of each partition, then their lives
--   returns  {"due", member, instant, member, instant...} | {"life", which one...},
--            counted from 0
--
-- It is asked for all the time, so this is also where a new life is noticed while
-- nothing else happens.
local info = redis.call('info', 'server')
local found, gone = { 'due' }, { 'life' }
for each = 1, #KEYS / 2 do
    if not number_of_life(KEYS[2 * each - 1], ARGV[2 + each], info) then
        gone[#gone + 1] = each - 1
    elseif #gone == 1 then
        local due = redis.call('zrangebyscore', KEYS[2 * each], '-inf', ARGV[1], 'withscores', 'limit', 0, ARGV[2])
        for _, part in ipairs(due) do
            found[#found + 1] = part
        end
    end
end
return #gone > 1 and gone or found
