-- Stores a version if nobody has written since its base was read; tells every
-- instance and the audit in the same step.
--
--   KEYS     life, state, due, outbox, bodies, operations, earlier operations,
--            answers, earlier answers
--   ARGV     life, operation, base position or "", position, head, body, "1" if it
--            may be let go when idle, member, due_at or "", idle_ttl_ms,
--            publish command, channel, message, wake channel,
--            instant, previous, digest, change, repeat key or "", repeat body, answered_ms
--   returns  {"stored", ticket} | {"stale", stored} | {"missing"} | {"newer", format}
--            | {"repeated", answer, stored} | {"life"}
--
-- An operation that was done is answered as the first time. It can only be met where
-- the base no longer stands: so the way of a write that is new does not ask for it.
local life, operation, base, position = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local head, body, may_go, member, due_at = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local idle, publish, channel, message, wake = ARGV[10], ARGV[11], ARGV[12], ARGV[13], ARGV[14]
local instant, previous, digest, change = ARGV[15], ARGV[16], ARGV[17], ARGV[18]
local repeat_key, repeat_body, answered_ms = ARGV[19], ARGV[20], ARGV[21]
local state, due, outbox, bodies = KEYS[2], KEYS[3], KEYS[4], KEYS[5]

if not is_alive(KEYS[1], life) then
    return { 'life' }
end
local number = string.match(life, '^%d+')

local front = redis.call('getrange', state, 0, 255)
if front == '' and base ~= '' then
    return { 'missing' }
end
if front ~= '' then
    local held = header_of(front)
    if not held then
        return { 'newer', string.match(front, '^%d*') }
    end
    local answer = repeat_key ~= '' and recall(KEYS[8], KEYS[9], repeat_key)
    local is_stale = held.position ~= base or held.life ~= number
    if answer or is_stale then
        local done = recall(KEYS[6], KEYS[7], operation)
        if done then
            return { 'stored', done }
        elseif answer then
            return { 'repeated', answer, redis.call('get', state) }
        end
        return { 'stale', redis.call('get', state) }
    end
end

-- The first write is one that a full store refuses: then none of them happens.
local ticket
if repeat_key == '' then
    ticket = redis.call('xadd', outbox, '*', 'f', '1', 'k', member, 'p', position, 'a', instant, 'v', previous,
        'd', digest, 'c', change)
else
    ticket = redis.call('xadd', outbox, '*', 'f', '1', 'k', member, 'p', position, 'a', instant, 'v', previous,
        'd', digest, 'c', change, 'r', repeat_key, 'b', repeat_body)
    local answer = position .. ' ' .. instant .. ' ' .. repeat_body .. change
    remember(KEYS[8], KEYS[9], repeat_key, answer, 64, 10000, answered_ms, answered_ms)
end
redis.call('hset', bodies, ticket, body)
local header = '1 ' .. number .. ' ' .. position .. ' ' .. ticket .. ' ' .. may_go .. ' ' .. head .. '\n'
redis.call('set', state, header .. body)
if due_at == '' then
    redis.call('zrem', due, member)
else
    redis.call('zadd', due, due_at, member)
end
remember(KEYS[6], KEYS[7], operation, ticket, 33, 50000, 30000, idle)
redis.call(publish, channel, message)
if redis.call('xlen', outbox) == 1 then
    redis.call(publish, wake, '')
end
return { 'stored', ticket }
