-- What ended a job's attempts, the last of them. KEYS needed: history
local REMEMBERED, LONGEST = 8, 200

local function failure(attempt, worker, reason)
  return table.concat({ now, attempt, worker, string.sub(string.gsub(reason, '%c', ' '), 1, LONGEST) }, ' ')
end

-- ids, and a line each.
local function remember(ids, lines)
  local entries, before = {}, fetch('HMGET', history, ids)
  for i, id in ipairs(ids) do
    local told = {}
    for line in string.gmatch(before[i] or '', '[^\n]+') do told[#told + 1] = line end
    told[#told + 1] = lines[i]
    entries[2 * i - 1], entries[2 * i] = id, table.concat(told, '\n', math.max(1, #told - REMEMBERED + 1))
  end
  each('HSET', history, entries)
end
