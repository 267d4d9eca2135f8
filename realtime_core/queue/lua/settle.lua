-- End claims: finished, cancelled (another attempt later, or stalled after the last) or stalled; a mixed batch at once.
-- KEYS jobs ready line turns busy later delayed claimed owners tries stalled stamps counts wake
-- USES turns
-- ARGV 1 attempts a job may have, 2 "ID TOKEN ID TOKEN …" of the finished, then five for each other verdict:
--      "cancel" or "stall", id, token, delay in ms, reason
-- returns "ID ID …" whose token was no longer theirs; nothing of those changed
-- cost O(verdicts × log(jobs held))
local ids, tokens = {}, {}
for id, token in string.gmatch(ARGV[2], '(%S+) (%S+)') do
  ids[#ids + 1], tokens[#tokens + 1] = id, token
end
local finishes = #ids
for i = 3, #ARGV, 5 do
  ids[#ids + 1], tokens[#tokens + 1] = ARGV[i + 1], ARGV[i + 2]
end

local holders = fetch('HMGET', owners, ids)
local ended, finished, stale = {}, {}, {}
local waits, holds, failures, stalls = {}, {}, {}, {}
-- Jobs with a key are in hands only while a key is busy.
local keyed, names, left = redis.call('HLEN', busy) > 0, {}, {}
local seen, token, prefix, cancelled = {}, nil, nil, 0
for i, id in ipairs(ids) do
  if tokens[i] ~= token then token, prefix = tokens[i], tokens[i] .. ':' end
  local holder = holders[i]
  if seen[id] or not holder or string.sub(holder, 1, #prefix) ~= prefix then
    stale[#stale + 1] = id
  else
    seen[id] = true
    ended[#ended + 1] = id
    local space = keyed and string.find(holder, ' ', #prefix + 1, true)
    if space then
      local key = string.sub(holder, space + 1, -2 - SEQ)
      if not left[key] then names[#names + 1] = key end
      left[key] = (left[key] or 0) + 1
    end
    if i <= finishes then
      finished[#finished + 1] = id
    else
      local at = 3 + (i - finishes - 1) * 5
      local attempt, worker, place = string.match(holder, '^%d+:(%d+):(%S*) ?(.*)$')
      failures[#failures + 1], failures[#failures + 2] = id, attempt
      if ARGV[at] == 'cancel' then cancelled = cancelled + 1 end
      if ARGV[at] == 'cancel' and tonumber(attempt) < tonumber(ARGV[1]) then
        local member = place == '' and id or place .. ' ' .. id
        waits[#waits + 1], waits[#waits + 2] = now + tonumber(ARGV[at + 3]), member
        if place ~= '' then holds[#holds + 1], holds[#holds + 2] = 0, member end
      else
        local key, seq = string.match(place, '^(%S+) (%d+)$')
        stalls[#stalls + 1] = id
        stalls[#stalls + 1] = table.concat({ now, attempt, worker, key and seq .. ':' .. key or '/', ARGV[at + 4] }, ' ')
      end
    end
  end
end

-- Removals go first: a server that is out of memory lets a script finish that has already written something.
each('ZREM', claimed, ended)
each('HDEL', owners, ended)
each('HDEL', jobs, finished)
if #finished > 0 and redis.call('HLEN', tries) > 0 then each('HDEL', tries, finished) end
if #finished > 0 and redis.call('HLEN', stamps) > 0 then each('HDEL', stamps, finished) end
each('HSET', tries, failures)
each('ZADD', delayed, waits)
each('ZADD', later, holds)
each('HSET', stalled, stalls)
release(names, left)
count(counts, 'finished', #finished)
count(counts, 'cancelled', cancelled)
count(counts, 'stalled', #stalls / 2)
count(counts, 'stale', #stale)
if #waits > 0 then signal(wake) end
return table.concat(stale, ' ')
