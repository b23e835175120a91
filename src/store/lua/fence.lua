-- Prepended to every script that rests on a store generation: whether this master is
-- still in it.
--
-- A generation is `<number>-<run id>-<start>`. The key tells a generation that was lost or
-- followed by another. The run id tells a process that restarted from its disk, or took
-- over from one that died. No command can slip in before this check, as it is part of
-- every command. `info` is the server's own description, where a script has read it
-- already. Returns the generation's number, or nil.
local function generation_number(key, generation, info)
    if redis.call('get', key) ~= generation then
        return nil
    end
    local dash = string.find(generation, '-', 1, true)
    -- Every run id has forty digits.
    local run = string.sub(generation, dash + 1, dash + 40)
    if string.find(info or redis.call('info', 'server'), run, 1, true) then
        return string.sub(generation, 1, dash - 1)
    end
end

-- The header of a stored session, without its body:
-- `<format> <whether it may expire> <head> <generation number> <position> <entry id or ->
-- <operations>`. Nil, where another release wrote it in a form of its own.
--
-- Each byte that a script handles costs a nanosecond or two: so the header stands beside
-- the body, and neither is concatenated with anything long.
local function header_of(stored)
    local generation, position, entry_id, operations =
        string.match(stored, '^1 %d %x+ (%d+) (%S+) (%S+) (%S+)$')
    if not generation then
        return nil
    end
    return { generation = generation, position = position, entry_id = entry_id, operations = operations }
end
