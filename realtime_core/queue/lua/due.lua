-- Jobs whose delay is over join the line, those with a key at their place in it. KEYS needed: ready delayed, and those of turns.
local function join_due()
  local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, 1000)
  if #due == 0 then return end
  redis.call('ZREM', delayed, unpack(due))
  local plain, places, entries, names, known = {}, {}, {}, {}, {}
  for _, member in ipairs(due) do
    local at = string.find(member, ' ', 1, true)
    if at then
      places[#places + 1] = member
      entries[#entries + 1], entries[#entries + 2] = 0, member
      local key = string.sub(member, 1, at - 1)
      if not known[key] then
        known[key] = true
        names[#names + 1] = key
      end
    else
      plain[#plain + 1] = member
    end
  end
  each('RPUSH', ready, plain)
  each('ZADD', line, entries)
  each('ZREM', later, places)
  advance(names)
  if #plain > 0 then signal(wake) end
end
