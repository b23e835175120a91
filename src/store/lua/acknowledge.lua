-- Lets go of entries that the ledger holds. A session whose newest version is among
-- them may be let go as well, once it has been idle for long.
--
--   KEYS     life, outbox, bodies, then the states of the sessions
--   ARGV     life, idle_ttl_ms, then the newest ticket of each session, in the order of
--            their states, then the tickets of all entries
--   returns  {"done", how many wait} | {"life"}
if not is_alive(KEYS[1], ARGV[1]) then
    return { 'life' }
end
local outbox, bodies, sessions = KEYS[2], KEYS[3], #KEYS - 3
local tickets = {}
for each = 3 + sessions, #ARGV do
    tickets[#tickets + 1] = ARGV[each]
end
redis.call('xdel', outbox, unpack(tickets))
redis.call('hdel', bodies, unpack(tickets))
for each = 1, sessions do
    local state = KEYS[3 + each]
    local ticket, may_go = string.match(redis.call('getrange', state, 0, 255), '^1 %d+ %S+ (%S+) (%d) ')
    if ticket == ARGV[2 + each] and may_go == '1' then
        redis.call('pexpire', state, ARGV[2])
    end
end
return { 'done', redis.call('xlen', outbox) }
