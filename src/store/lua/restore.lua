-- Takes a session back from the ledger: where none is held, or in place of one that
-- outlived its store life and has not been replaced since it was read.
--
--   KEYS     life, state, due, answers, earlier answers
--   ARGV     life, position it replaces or "", position, head, body, "1" if it may be
--            let go when idle, member, due_at or "", idle_ttl_ms, answered_ms,
--            then repeat key and answer, in turn
--   returns  {"stored"} | {"held", header, body} | {"newer", format} | {"life"}
local life, over, position, head, body = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local may_go, member, due_at, idle, answered_ms = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local state, due = KEYS[2], KEYS[3]

local number = number_of_life(KEYS[1], life)
if not number then
    return { 'life' }
end
local front = redis.call('hget', state, 'h')
if front then
    local held = header_of(front)
    if not held then
        return { 'newer', string.match(front, '^%d*') }
    elseif held.life == number or held.position ~= over then
        return { 'held', front, redis.call('hget', state, 'b') }
    end
end

redis.call('hset', state, 'h', '1 ' .. may_go .. ' ' .. head .. ' ' .. number .. ' ' .. position .. ' - .', 'b', body)
if may_go == '1' then
    redis.call('pexpire', state, idle)
else
    redis.call('persist', state)
end
if due_at == '' then
    redis.call('zrem', due, member)
else
    redis.call('zadd', due, due_at, member)
end
for each = 11, #ARGV, 2 do
    remember(KEYS[4], KEYS[5], ARGV[each], ARGV[each + 1], 64, 10000, answered_ms, answered_ms)
end
return { 'stored' }
