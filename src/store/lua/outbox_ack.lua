-- Removes entries of some partitions that the ledger holds. A session whose newest version
-- is among them may expire as well, once it has been idle for long.
--
--   KEYS     of each partition: generation, outbox, bodies, then the states of its sessions
--   ARGV     idle_ttl_ms, then of each partition: generation, count of sessions, count of
--            entries, the newest entry id of each session, the ids of all entries
--   returns  {"done", of each: entries left, or -1 in another generation...}
local idle_ttl_ms = ARGV[1]
local info = redis.call('info', 'server')

-- The partition's keys begin at `key`, and its arguments at `arg`.
local function acknowledge(key, arg, sessions, entries)
    local outbox, bodies = KEYS[key + 1], KEYS[key + 2]
    local first = arg + sessions
    redis.call('xdel', outbox, unpack(ARGV, first, first + entries - 1))
    redis.call('hdel', bodies, unpack(ARGV, first, first + entries - 1))
    for each = 0, sessions - 1 do
        local state = KEYS[key + 3 + each]
        local entry_id = string.match(redis.call('hget', state, 'h') or '', '^1 1 %x+ %d+ %S+ (%S+) ')
        if entry_id == ARGV[arg + each] then
            redis.call('pexpire', state, idle_ttl_ms)
        end
    end
    return redis.call('xlen', outbox)
end

local left, key, arg = { 'done' }, 1, 2
while key <= #KEYS do
    local generation, sessions, entries = ARGV[arg], tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2])
    local number = generation_number(KEYS[key], generation, info)
    left[#left + 1] = number and acknowledge(key, arg + 3, sessions, entries) or -1
    key, arg = key + 3 + sessions, arg + 3 + sessions + entries
end
return left
