-- Lets go of entries of some partitions that the ledger holds. A session whose newest
-- version is among them may be let go as well, once it has been idle for long.
--
--   KEYS     of each partition: life, outbox, bodies, then the states of its sessions
--   ARGV     idle_ttl_ms, then of each partition: life, how many sessions, how many
--            entries, the newest ticket of each session, the tickets of all entries
--   returns  {"done", of each: how many wait, or -1 where it lives another life...}
local idle = ARGV[1]
local info = redis.call('info', 'server')

-- Its keys begin at `key`, and at `given` what belongs to them.
local function let_go(key, given, sessions, entries)
    local outbox, bodies = KEYS[key + 1], KEYS[key + 2]
    local first = given + sessions
    redis.call('xdel', outbox, unpack(ARGV, first, first + entries - 1))
    redis.call('hdel', bodies, unpack(ARGV, first, first + entries - 1))
    for each = 0, sessions - 1 do
        local state = KEYS[key + 3 + each]
        local ticket = string.match(redis.call('hget', state, 'h') or '', '^1 1 %x+ %d+ %S+ (%S+) ')
        if ticket == ARGV[given + each] then
            redis.call('pexpire', state, idle)
        end
    end
    return redis.call('xlen', outbox)
end

local waiting, key, given = { 'done' }, 1, 2
while key <= #KEYS do
    local life, sessions, entries = ARGV[given], tonumber(ARGV[given + 1]), tonumber(ARGV[given + 2])
    local lives = number_of_life(KEYS[key], life, info)
    waiting[#waiting + 1] = lives and let_go(key, given + 3, sessions, entries) or -1
    key, given = key + 3 + sessions, given + 3 + sessions + entries
end
return waiting
