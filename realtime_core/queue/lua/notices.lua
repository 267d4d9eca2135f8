-- Telling of moves, for who listens: until counts[watched] (ms). KEYS needed: counts
-- One message a script: "NUMBER MS", then a line for each kind of move: "MOVE ID ATTEMPT ID ATTEMPT …".
-- NUMBER is one more each time, so that a listener knows what it missed.
local function listened()
  local till = redis.call('HGET', counts, 'watched')
  return till and tonumber(till) > now
end

local function tell(moves)
  local lines = {}
  for _, move in ipairs(moves) do
    local ids, attempts, words = move[2], move[3], { move[1] }
    for i, id in ipairs(ids) do words[#words + 1] = id .. ' ' .. (attempts and attempts[i] or 0) end
    if #ids > 0 then lines[#lines + 1] = table.concat(words, ' ') end
  end
  if #lines == 0 then return end
  local number = redis.call('HINCRBY', counts, 'notices', 1)
  -- A channel is no key.
  local channel = string.gsub(counts, 'counts$', 'notices')
  redis.call('PUBLISH', channel, number .. ' ' .. now .. '\n' .. table.concat(lines, '\n'))
end
