-- Stores versions, each if nobody has written since its base was read, and announces them
-- to every instance and the audit in the same step. The commits are independent: none
-- affects the outcome of another.
--
--   KEYS     of each: generation, state, due, outbox, bodies, answers, earlier answers
--   ARGV     publish command, idempotency_ttl_ms, then of each: generation, operation, base
--            position or "", position, whether it may expire and its head, member, due_at
--            or "", channel, message, wake channel, entry, idempotency key or "", record,
--            body
--   returns  of each: {"stored", entry id} | {"stale", header, body} | {"missing"}
--            | {"newer", format} | {"repeated", record, header, body} | {"fenced"}
--            | {"failed", the server's error}
--
-- A repeated operation is answered as the first time, with the newest entry id. It can
-- only occur where the base is no longer the newest: so a new write does not look for it.
-- The newest operations are part of the header, each behind a point.
local OPERATIONS_LENGTH = 16 * 12
local KEYS_EACH, ARGS_EACH = 7, 14

local publish, idempotency_ttl_ms = ARGV[1], ARGV[2]
local info = redis.call('info', 'server')

-- Whether a header still has this generation and position: they stand behind a format, a
-- digit and a digest. Parsing all of it would take far longer.
local function is_newest(header, number, base)
    local expected = number .. ' ' .. base .. ' '
    return string.sub(header, 1, 2) == '1 ' and string.sub(header, 70, 69 + #expected) == expected
end

local function commit(keys, args)
    local generation, operation, base, position = args[1], args[2], args[3], args[4]
    local head, member, due_at = args[5], args[6], args[7]
    local channel, message, wake = args[8], args[9], args[10]
    local entry, idempotency_key, record, body = args[11], args[12], args[13], args[14]
    local state, due, outbox, bodies = keys[2], keys[3], keys[4], keys[5]

    local number = generation_number(keys[1], generation, info)
    if not number then
        return { 'fenced' }
    end

    local operations = '.' .. operation
    local header = redis.call('hget', state, 'h')
    if not header and base ~= '' then
        return { 'missing' }
    end
    if header and (idempotency_key ~= '' or not is_newest(header, number, base)) then
        local stored = header_of(header)
        if not stored then
            return { 'newer', string.match(header, '^%d*') }
        end
        local recorded = idempotency_key ~= '' and recall(keys[6], keys[7], idempotency_key)
        local is_stale = stored.position ~= base or stored.generation ~= number
        if recorded or is_stale then
            if string.find(stored.operations, operations, 1, true) then
                return { 'stored', stored.entry_id }
            elseif recorded then
                return { 'repeated', recorded, header, redis.call('hget', state, 'b') }
            end
            return { 'stale', header, redis.call('hget', state, 'b') }
        end
    end
    local could_expire = false
    if header then
        local point = string.find(header, '.', 1, true)
        operations = string.sub(operations .. string.sub(header, point), 1, OPERATIONS_LENGTH)
        could_expire = string.sub(header, 3, 3) == '1'
    end

    -- A full store refuses the first write: then none of them happens.
    local entry_id = redis.call('xadd', outbox, '*', 'e', entry)
    if idempotency_key ~= '' then
        remember(keys[6], keys[7], idempotency_key, record, 64, 10000, idempotency_ttl_ms, idempotency_ttl_ms)
    end
    redis.call('hset', bodies, entry_id, body)
    header = '1 ' .. head .. ' ' .. number .. ' ' .. position .. ' ' .. entry_id .. ' ' .. operations
    redis.call('hset', state, 'h', header, 'b', body)
    if could_expire then
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
    return { 'stored', entry_id }
end

-- Older servers give an error as a text, newer ones as a table.
local function text_of(problem)
    return type(problem) == 'table' and problem.err or tostring(problem)
end

local replies = {}
for each = 0, #KEYS / KEYS_EACH - 1 do
    local keys = { unpack(KEYS, each * KEYS_EACH + 1, (each + 1) * KEYS_EACH) }
    local args = { unpack(ARGV, each * ARGS_EACH + 3, (each + 1) * ARGS_EACH + 2) }
    local is_done, reply = pcall(commit, keys, args)
    replies[each + 1] = is_done and reply or { 'failed', text_of(reply) }
end
return replies
