-- Take back jobs whose lease has ended: to the head of the line, or stalled after the last attempt. Due jobs join the line.
-- KEYS ready delayed claimed owners tries stalled counts wake
-- ARGV 1 attempts a job may have, 2 most leases to end
-- returns how many leases were ended
-- cost O(leases ended × log(jobs held))
local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, 1000)
if #due > 0 then
  redis.call('ZREM', delayed, unpack(due))
  redis.call('RPUSH', ready, unpack(due))
end
local ids = redis.call('ZRANGEBYSCORE', claimed, '-inf', now, 'LIMIT', 0, ARGV[2])
local holders = fetch('HMGET', owners, ids)
local back, failures, stalls = {}, {}, {}
for i = #ids, 1, -1 do
  local attempt, worker = string.match(holders[i] or '0:1:unknown', '^%d+:(%d+):(.*)$')
  failures[#failures + 1], failures[#failures + 2] = ids[i], attempt
  if tonumber(attempt) < tonumber(ARGV[1]) then
    back[#back + 1] = ids[i]
  else
    stalls[#stalls + 1], stalls[#stalls + 2] = ids[i], now .. ' ' .. attempt .. ' ' .. worker .. ' lease ended'
  end
end
each('ZREM', claimed, ids)
each('HDEL', owners, ids)
each('HSET', tries, failures)
each('LPUSH', ready, back)
each('HSET', stalled, stalls)
count(counts, 'expired', #ids)
count(counts, 'stalled', #stalls / 2)
if #back + #due > 0 then signal(wake) end
return #ids
