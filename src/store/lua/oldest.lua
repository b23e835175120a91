-- The oldest entries of some partitions that wait for the ledger, with their bodies; all
-- in all no more than fit into four megabytes, but at least one.
--
--   KEYS     of each partition: life, outbox, bodies
--   ARGV     how many of each partition, then their lives
--   returns  {"entries", {how many wait, {ticket, entry, body or nil}...} of each...}
--            | {"life", which one...}, counted from 0
local most = 4000000
local info = redis.call('info', 'server')
local found, gone, bytes = { 'entries' }, { 'life' }, 0

local function oldest(outbox, bodies)
    local some = { redis.call('xlen', outbox) }
    local entries = bytes < most and redis.call('xrange', outbox, '-', '+', 'count', ARGV[1]) or {}
    if #entries == 0 then
        return some
    end
    local tickets = {}
    for each, entry in ipairs(entries) do
        tickets[each] = entry[1]
    end
    local held = redis.call('hmget', bodies, unpack(tickets))
    for each, entry in ipairs(entries) do
        local body = held[each]
        some[#some + 1] = { entry[1], entry[2][2], body }
        bytes = bytes + (body and #body or 0)
        if bytes > most then
            break
        end
    end
    return some
end

for each = 1, #KEYS / 3 do
    if not number_of_life(KEYS[3 * each - 2], ARGV[1 + each], info) then
        gone[#gone + 1] = each - 1
    elseif #gone == 1 then
        found[#found + 1] = oldest(KEYS[3 * each - 1], KEYS[3 * each])
    end
end
return #gone > 1 and gone or found
