-- End claims: finished, cancelled (another attempt later, or stalled after the last), stalled or given back (to where it was,
-- at the attempt it had); a mixed batch at once.
-- KEYS jobs ready line turns busy later delayed claimed owners tries history stalled stamps counts wake
-- USES turns notices history
-- ARGV 1 attempts a job may have, 2 "ID TOKEN ID TOKEN …" of the finished, 3 "ID ID …" of those that leave a result, 4 how long
--      results are kept (ms), 5 most results kept, 6.. the results, then five for each other verdict:
--      "cancel", "stall" or "back", id, token, delay in ms, reason. After the named KEYS, where there are
--      results: who has one, and one for each.
-- returns "ID ID …" whose token was no longer theirs; nothing of those changed
-- cost O(verdicts × log(jobs held))
drains(claimed)
local ids, tokens = {}, {}
for id, token in string.gmatch(ARGV[2], '(%S+) (%S+)') do
  ids[#ids + 1], tokens[#tokens + 1] = id, token
end
local finishes = #ids
local leave, left_by = {}, {}
for id in string.gmatch(ARGV[3], '%S+') do
  leave[#leave + 1] = id
  left_by[id] = #leave
end
local rest = 6 + #leave
for i = rest, #ARGV, 5 do
  ids[#ids + 1], tokens[#tokens + 1] = ARGV[i + 1], ARGV[i + 2]
end

local holders = fetch('HMGET', owners, ids)
local ended, finished, stale = {}, {}, {}
local waits, holds, failures, stalls = {}, {}, {}, {}
-- Jobs with a key are in hands only while a key is busy.
local keyed, names, left = redis.call('HLEN', busy) > 0, {}, {}
local cancels, cancel_tries, stall_tries, failed, told = {}, {}, {}, {}, {}
local backs, back_tries, plain, places, front = {}, {}, {}, {}, {}
local seen, token, prefix = {}, nil, nil
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
      local at = rest + (i - finishes - 1) * 5
      local attempt, worker, place = string.match(holder, '^%d+:(%d+):(%S*) ?(.*)$')
      local key, seq = string.match(place, '^(%S+) (%d+)$')
      -- What is counted of a job are the attempts before this one: given back it leaves them as they are.
      if ARGV[at] ~= 'back' then
        failures[#failures + 1], failures[#failures + 2] = id, attempt
        failed[#failed + 1], told[#told + 1] = id, failure(attempt, worker, ARGV[at + 4])
      end
      if ARGV[at] == 'cancel' then cancels[#cancels + 1], cancel_tries[#cancel_tries + 1] = id, attempt end
      if ARGV[at] == 'back' then
        backs[#backs + 1], back_tries[#back_tries + 1] = id, attempt
        if key then
          places[#places + 1], places[#places + 2] = 0, place .. ' ' .. id
          front[key] = true
        else
          plain[#plain + 1] = id
        end
      elseif ARGV[at] == 'cancel' and tonumber(attempt) < tonumber(ARGV[1]) then
        local member = place == '' and id or place .. ' ' .. id
        waits[#waits + 1], waits[#waits + 2] = now + tonumber(ARGV[at + 3]), member
        if place ~= '' then holds[#holds + 1], holds[#holds + 2] = 0, member end
      else
        stalls[#stalls + 1], stall_tries[#stall_tries + 1] = id, attempt
        stalls[#stalls + 1] = table.concat({ now, attempt, worker, key and seq .. ':' .. key or '/', ARGV[at + 4] }, ' ')
      end
    end
  end
end

each('ZREM', claimed, ended)
each('HDEL', owners, ended)
each('HDEL', jobs, finished)
if #finished > 0 and redis.call('HLEN', tries) > 0 then
  each('HDEL', tries, finished)
  each('HDEL', history, finished)
end
if #finished > 0 and redis.call('HLEN', stamps) > 0 then each('HDEL', stamps, finished) end
if #leave > 0 then
  -- Those that are over are in nobody's way; where there are too many, the new one is not kept, and counted.
  local results = KEYS[NAMED + 1]
  redis.call('ZREMRANGEBYSCORE', results, '-inf', now)
  local kept, room, dropped = {}, tonumber(ARGV[5]) - redis.call('ZCARD', results), 0
  for _, id in ipairs(finished) do
    local number = left_by[id]
    if number and #kept / 2 < room then
      local key = KEYS[NAMED + 1 + number]
      redis.call('DEL', key)
      redis.call('RPUSH', key, ARGV[5 + number])
      redis.call('PEXPIRE', key, ARGV[4])
      kept[#kept + 1], kept[#kept + 2] = now + ARGV[4], id
    elseif number then
      dropped = dropped + 1
    end
  end
  each('ZADD', results, kept)
  count(counts, 'result', #kept / 2)
  count(counts, 'undelivered', dropped)
end
each('HSET', tries, failures)
remember(failed, told)
each('ZADD', delayed, waits)
each('ZADD', later, holds)
each('HSET', stalled, stalls)
-- The first of them comes to stand first, as where leases have ended.
local backwards, ahead, behind = {}, {}, names
for i = #plain, 1, -1 do backwards[#backwards + 1] = plain[i] end
each('LPUSH', ready, backwards)
if #places > 0 then
  each('ZADD', line, places)
  behind = {}
  for i = 1, #names do table.insert(front[names[i]] and ahead or behind, names[i]) end
end
release(behind, left)
release(ahead, left, true)
count(counts, 'finished', #finished)
count(counts, 'cancelled', #cancels)
count(counts, 'given_back', #backs)
count(counts, 'stalled', #stalls / 2)
count(counts, 'stale', #stale)
if #waits + #plain > 0 then signal(wake) end
if #ended > 0 and listened() then
  local lasts = {}
  for i = 1, #stalls, 2 do lasts[#lasts + 1] = stalls[i] end
  tell({ { 'finished', finished }, { 'cancelled', cancels, cancel_tries }, { 'given_back', backs, back_tries },
    { 'stalled', lasts, stall_tries } })
end
return table.concat(stale, ' ')
