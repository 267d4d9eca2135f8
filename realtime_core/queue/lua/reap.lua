-- Take back jobs whose lease has ended: to the head of the line, or stalled after the last attempt. Due jobs join the line.
-- KEYS ready line turns busy later delayed claimed owners tries history stalled counts wake
-- USES turns due notices history
-- ARGV 1 attempts a job may have, 2 most leases to end
-- returns how many leases were ended
-- cost O(leases ended × log(jobs held))
join_due()
local ids = redis.call('ZRANGEBYSCORE', claimed, '-inf', now, 'LIMIT', 0, ARGV[2])
local holders = fetch('HMGET', owners, ids)
local back, places, failures, stalls, names, ended, told = {}, {}, {}, {}, {}, {}, {}
for i = 1, #ids do
  local attempt, worker, place = string.match(holders[i] or '0:1:unknown', '^%d+:(%d+):(%S*) ?(.*)$')
  failures[#failures + 1], failures[#failures + 2] = ids[i], attempt
  told[i] = failure(attempt, worker, 'lease ended')
  local key, seq = string.match(place, '^(%S+) (%d+)$')
  if key then
    if not ended[key] then names[#names + 1] = key end
    ended[key] = (ended[key] or 0) + 1
  end
  if tonumber(attempt) >= tonumber(ARGV[1]) then
    stalls[#stalls + 1] = ids[i]
    stalls[#stalls + 1] = table.concat({ now, attempt, worker, key and seq .. ':' .. key or '/', 'lease ended' }, ' ')
  elseif key then
    places[#places + 1], places[#places + 2] = 0, place .. ' ' .. ids[i]
  else
    back[#back + 1] = ids[i]
  end
end
each('ZREM', claimed, ids)
each('HDEL', owners, ids)
each('HSET', tries, failures)
remember(ids, told)
local backwards = {}
for i = #back, 1, -1 do backwards[#backwards + 1] = back[i] end
each('LPUSH', ready, backwards)
each('ZADD', line, places)
each('HSET', stalled, stalls)
release(names, ended, true)
count(counts, 'expired', #ids)
count(counts, 'stalled', #stalls / 2)
if #back > 0 then signal(wake) end
if #ids > 0 and listened() then
  local over, tried, lasts, stall_tries = {}, {}, {}, {}
  for i = 1, #failures, 2 do
    over[#over + 1], tried[#tried + 1] = failures[i], failures[i + 1]
    if tonumber(failures[i + 1]) >= tonumber(ARGV[1]) then
      lasts[#lasts + 1], stall_tries[#stall_tries + 1] = failures[i], failures[i + 1]
    end
  end
  tell({ { 'expired', over, tried }, { 'stalled', lasts, stall_tries } })
end
return #ids
