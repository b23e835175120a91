-- Stores a session from the ledger: where none is stored, or in place of one from an
-- earlier generation that has not been replaced since it was read.
--
--   KEYS     generation, state, due, answers, earlier answers
--   ARGV     generation, position it replaces or "", position, head, body, "1" if it may
--            expire when idle, member, due_at or "", idle_ttl_ms, idempotency_ttl_ms,
--            then idempotency key and record, alternating
--   returns  {"stored"} | {"found", header, body} | {"newer", format} | {"fenced"}
local generation, over, position, head, body = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local may_expire, member, due_at, idle_ttl_ms, idempotency_ttl_ms = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local state, due = KEYS[2], KEYS[3]

local number = generation_number(KEYS[1], generation)
if not number then
    return { 'fenced' }
end
local header = redis.call('hget', state, 'h')
if header then
    local stored = header_of(header)
    if not stored then
        return { 'newer', string.match(header, '^%d*') }
    elseif stored.generation == number or stored.position ~= over then
        return { 'found', header, redis.call('hget', state, 'b') }
    end
end

header = '1 ' .. may_expire .. ' ' .. head .. ' ' .. number .. ' ' .. position .. ' - .'
redis.call('hset', state, 'h', header, 'b', body)
if may_expire == '1' then
    redis.call('pexpire', state, idle_ttl_ms)
else
    redis.call('persist', state)
end
if due_at == '' then
    redis.call('zrem', due, member)
else
    redis.call('zadd', due, due_at, member)
end
for each = 11, #ARGV, 2 do
    remember(KEYS[4], KEYS[5], ARGV[each], ARGV[each + 1], 64, 10000, idempotency_ttl_ms, idempotency_ttl_ms)
end
return { 'stored' }
