-- Give a worker the next jobs, with a token, for the length of a lease. Delayed jobs that are due join the line first.
-- KEYS jobs ready delayed claimed owners tries counts wake
-- ARGV 1 most jobs wanted, 2 lease in ms, 3 worker, 4 attempts a job may have
-- returns {now in ms, when the next delayed job is due or a lease ends (ms; 0: nothing), token, "ID ID …", "LENGTH LENGTH …" of the
--          records, the records end to end, "ATTEMPT ATTEMPT …" or "" when each is at its first}
-- cost O(jobs claimed × log(jobs held))
local limit, most = tonumber(ARGV[1]), tonumber(ARGV[4])
local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, 1000)
if #due > 0 then
  redis.call('ZREM', delayed, unpack(due))
  redis.call('RPUSH', ready, unpack(due))
end

local soonest = 0
for _, key in ipairs({ delayed, claimed }) do
  local at = tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or '0')
  if at > 0 and (soonest == 0 or at < soonest) then soonest = math.ceil(at) end
end

local ids = redis.call('LPOP', ready, limit) or {}
if #ids == 0 then return { now, soonest, 0, '', '', '', '' } end

local before = redis.call('HLEN', tries) > 0 and fetch('HMGET', tries, ids) or nil
if before then
  -- A last attempt is made alone: a job that kills its worker takes no neighbour with it.
  local together = #ids
  for i = 1, #ids do
    if before[i] and before[i] + 1 >= most then
      together = math.max(1, i - 1)
      break
    end
  end
  if together < #ids then
    local back = {}
    for i = #ids, together + 1, -1 do
      back[#back + 1] = ids[i]
      ids[i] = nil
    end
    each('LPUSH', ready, back)
  end
end

local token = redis.call('HINCRBY', counts, 'token', 1)
-- Leases of one batch end 1/4096 ms after another, so that jobs that are taken back are still in their order.
local first = token .. ':1:' .. ARGV[3]
local until_ms = now + tonumber(ARGV[2])
local leases, holders, attempts = {}, {}, {}
for i, id in ipairs(ids) do
  local holder = first
  if before then
    attempts[i] = (before[i] or 0) + 1
    holder = token .. ':' .. attempts[i] .. ':' .. ARGV[3]
  end
  leases[2 * i - 1], leases[2 * i] = until_ms + i / 4096, id
  holders[2 * i - 1], holders[2 * i] = id, holder
end
each('ZADD', claimed, leases)
each('HSET', owners, holders)
count(counts, 'claimed', #ids)
if redis.call('LLEN', ready) > 0 then signal(wake) end

local records = fetch('HMGET', jobs, ids)
local lengths = {}
for i, record in ipairs(records) do lengths[i] = #record end
return {
  now, soonest, token, table.concat(ids, ' '), table.concat(lengths, ' '), table.concat(records), table.concat(attempts, ' '),
}
