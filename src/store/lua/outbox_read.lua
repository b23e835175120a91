-- The oldest outbox entries of some partitions, with their bodies; in total no more than
-- fit into four megabytes, but at least one.
--
--   KEYS     of each partition: generation, outbox, bodies
--   ARGV     limit of each partition, then their generations
--   returns  {"entries", {entries in the outbox, {entry id, entry, body or nil}...} of each...}
--            | {"fenced", index of a partition...}, from 0
local MAX_BYTES = 4000000
local info = redis.call('info', 'server')
local found, fenced, bytes = { 'entries' }, { 'fenced' }, 0

-- Bodies read by one command: fewer calls, and yet not those of all thousand entries, of
-- which four megabytes may take but the first.
local BODIES_PER_READ = 16

-- The bodies of entries from `first` on.
local function bodies_of(entries, first, bodies)
    local ids = {}
    for each = first, math.min(first + BODIES_PER_READ - 1, #entries) do
        ids[#ids + 1] = entries[each][1]
    end
    return redis.call('hmget', bodies, unpack(ids))
end

local function oldest(outbox, bodies)
    local some = { redis.call('xlen', outbox) }
    local entries = bytes < MAX_BYTES and redis.call('xrange', outbox, '-', '+', 'count', ARGV[1]) or {}
    local read
    for each, entry in ipairs(entries) do
        local index = (each - 1) % BODIES_PER_READ + 1
        read = index == 1 and bodies_of(entries, each, bodies) or read
        local body = read[index]
        some[#some + 1] = { entry[1], entry[2][2], body }
        bytes = bytes + (body and #body or 0)
        if bytes > MAX_BYTES then
            break
        end
    end
    return some
end

for each = 1, #KEYS / 3 do
    if not generation_number(KEYS[3 * each - 2], ARGV[1 + each], info) then
        fenced[#fenced + 1] = each - 1
    elseif #fenced == 1 then
        found[#found + 1] = oldest(KEYS[3 * each - 1], KEYS[3 * each])
    end
end
return #fenced > 1 and fenced or found
