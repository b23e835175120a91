-- Stores versions, each if nobody has written since its base was read; tells every
-- instance and the audit in the same step. They have nothing to do with each other: what
-- becomes of one is the same to the rest.
--
--   KEYS     of each: life, state, due, outbox, bodies, answers, earlier answers
--   ARGV     of each: life, operation, base position or "", position, whether it may be let
--            go when idle and its head, body, member, due_at or "", publish command,
--            channel, message, wake channel, entry, repeat key or "", answer, answered_ms
--   returns  of each: {"stored", ticket} | {"stale", header, body} | {"missing"}
--            | {"newer", format} | {"repeated", answer, header, body} | {"life"}
--            | {"failed", what the server said}
--
-- An operation that was done is answered as the first time, with the newest ticket. It
-- can only be met where the base no longer stands: so the way of a write that is new
-- does not look for it. The newest are part of the header, each behind a point.
local OPERATIONS = 16 * 12
local KEYS_OF_ONE, GIVEN_OF_ONE = 7, 16

local info = redis.call('info', 'server')

local function commit(keys, given)
    local life, operation, base, position = given[1], given[2], given[3], given[4]
    local head, body, member, due_at = given[5], given[6], given[7], given[8]
    local publish, channel, message, wake = given[9], given[10], given[11], given[12]
    local entry, repeat_key, answer, answered_ms = given[13], given[14], given[15], given[16]
    local state, due, outbox, bodies = keys[2], keys[3], keys[4], keys[5]

    if not is_alive(keys[1], life, info) then
        return { 'life' }
    end
    local number = string.match(life, '^%d+')

    local operations = '.' .. operation
    local front = redis.call('hget', state, 'h')
    if not front and base ~= '' then
        return { 'missing' }
    end
    local may_go = '0'
    if front then
        local held = header_of(front)
        if not held then
            return { 'newer', string.match(front, '^%d*') }
        end
        local answered = repeat_key ~= '' and recall(keys[6], keys[7], repeat_key)
        local is_stale = held.position ~= base or held.life ~= number
        if answered or is_stale then
            if string.find(held.operations, operations, 1, true) then
                return { 'stored', held.ticket }
            elseif answered then
                return { 'repeated', answered, front, redis.call('hget', state, 'b') }
            end
            return { 'stale', front, redis.call('hget', state, 'b') }
        end
        operations = string.sub(operations .. held.operations, 1, OPERATIONS)
        may_go = held.may_go
    end

    -- The first write is one that a full store refuses: then none of them happens.
    local ticket = redis.call('xadd', outbox, '*', 'e', entry)
    if repeat_key ~= '' then
        remember(keys[6], keys[7], repeat_key, answer, 64, 10000, answered_ms, answered_ms)
    end
    redis.call('hset', bodies, ticket, body)
    local header = '1 ' .. number .. ' ' .. position .. ' ' .. ticket .. ' ' .. head .. ' ' .. operations
    redis.call('hset', state, 'h', header, 'b', body)
    if may_go == '1' then
        redis.call('persist', state)
    end
    if due_at == '' then
        redis.call('zrem', due, member)
    else
        redis.call('zadd', due, due_at, member)
    end
    redis.call(publish, channel, message)
    if redis.call('xlen', outbox) == 1 then
        redis.call(publish, wake, '')
    end
    return { 'stored', ticket }
end

-- Older servers tell an error as a text, newer ones as a table.
local function said(problem)
    return type(problem) == 'table' and problem.err or tostring(problem)
end

local answers = {}
for each = 0, #KEYS / KEYS_OF_ONE - 1 do
    local keys = { unpack(KEYS, each * KEYS_OF_ONE + 1, (each + 1) * KEYS_OF_ONE) }
    local given = { unpack(ARGV, each * GIVEN_OF_ONE + 1, (each + 1) * GIVEN_OF_ONE) }
    local is_done, answer = pcall(commit, keys, given)
    answers[each + 1] = is_done and answer or { 'failed', said(answer) }
end
return answers
