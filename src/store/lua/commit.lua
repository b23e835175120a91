-- Stores versions, each if nobody has written since its base was read; tells every
-- instance and the audit in the same step. They have nothing to do with each other: what
-- becomes of one is the same to the rest.
--
--   KEYS     of each: life, state, due, outbox, bodies, answers, earlier answers
--   ARGV     publish command, answered_ms, then of each: life, operation, base position or
--            "", position, whether it may be let go when idle and its head, member, due_at
--            or "", channel, message, wake channel, entry, repeat key or "", answer, body
--   returns  of each: {"stored", ticket} | {"stale", header, body} | {"missing"}
--            | {"newer", format} | {"repeated", answer, header, body} | {"life"}
--            | {"failed", what the server said}
--
-- An operation that was done is answered as the first time, with the newest ticket. It
-- can only be met where the base no longer stands: so the way of a write that is new
-- does not look for it. The newest are part of the header, each behind a point.
local OPERATIONS = 16 * 12
local KEYS_OF_ONE, GIVEN_OF_ONE = 7, 14

local publish, answered_ms = ARGV[1], ARGV[2]
local info = redis.call('info', 'server')

-- Whether a header says that this life and position are still where it is: they stand
-- behind a format, a digit and a digest. Reading all of it would take far longer.
local function stands(front, number, base)
    local expected = number .. ' ' .. base .. ' '
    return string.sub(front, 1, 2) == '1 ' and string.sub(front, 70, 69 + #expected) == expected
end

local function commit(keys, given)
    local life, operation, base, position = given[1], given[2], given[3], given[4]
    local head, member, due_at = given[5], given[6], given[7]
    local channel, message, wake = given[8], given[9], given[10]
    local entry, repeat_key, answer, body = given[11], given[12], given[13], given[14]
    local state, due, outbox, bodies = keys[2], keys[3], keys[4], keys[5]

    local number = number_of_life(keys[1], life, info)
    if not number then
        return { 'life' }
    end

    local operations = '.' .. operation
    local front = redis.call('hget', state, 'h')
    if not front and base ~= '' then
        return { 'missing' }
    end
    if front and (repeat_key ~= '' or not stands(front, number, base)) then
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
    end
    local might_go = false
    if front then
        local point = string.find(front, '.', 1, true)
        operations = string.sub(operations .. string.sub(front, point), 1, OPERATIONS)
        might_go = string.sub(front, 3, 3) == '1'
    end

    -- The first write is one that a full store refuses: then none of them happens.
    local ticket = redis.call('xadd', outbox, '*', 'e', entry)
    if repeat_key ~= '' then
        remember(keys[6], keys[7], repeat_key, answer, 64, 10000, answered_ms, answered_ms)
    end
    redis.call('hset', bodies, ticket, body)
    local header = '1 ' .. head .. ' ' .. number .. ' ' .. position .. ' ' .. ticket .. ' ' .. operations
    redis.call('hset', state, 'h', header, 'b', body)
    if might_go then
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
    local given = { unpack(ARGV, each * GIVEN_OF_ONE + 3, (each + 1) * GIVEN_OF_ONE + 2) }
    local is_done, answer = pcall(commit, keys, given)
    answers[each + 1] = is_done and answer or { 'failed', said(answer) }
end
return answers
