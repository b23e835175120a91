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

-- So many bodies are asked for by one command: fewer calls, and yet not all those of a
-- thousand entries, of which four megabytes may take but the first.
local together = 16

-- The bodies of entries from `first` on.
local function bodies_of(entries, first, bodies)
    local tickets = {}
    for each = first, math.min(first + together - 1, #entries) do
        tickets[#tickets + 1] = entries[each][1]
    end
    return redis.call('hmget', bodies, unpack(tickets))
end

local function oldest(outbox, bodies)
    local some = { redis.call('xlen', outbox) }
    local entries = bytes < most and redis.call('xrange', outbox, '-', '+', 'count', ARGV[1]) or {}
    local held
    for each, entry in ipairs(entries) do
        local place = (each - 1) % together + 1
        held = place == 1 and bodies_of(entries, each, bodies) or held
        local body = held[place]
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
