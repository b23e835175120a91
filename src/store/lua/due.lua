-- Sessions that something must happen to by an instant, soonest first.
--
--   KEYS     life, due
--   ARGV     life, until_ms, how many
--   returns  {"due", member, instant, member, instant...} | {"life"}
--
-- It is asked for all the time, so this is also where a new life is noticed while
-- nothing else happens.
if not is_alive(KEYS[1], ARGV[1]) then
    return { 'life' }
end
local found = redis.call('zrangebyscore', KEYS[2], '-inf', ARGV[2], 'withscores', 'limit', 0, ARGV[3])
table.insert(found, 1, 'due')
return found
