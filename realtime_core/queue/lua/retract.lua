-- Take jobs out of the queue, wherever they are. The claim of one that was claimed is stale from now on.
-- KEYS jobs ready line turns busy later delayed claimed owners tries history stalled stamps counts wake
-- USES turns notices
-- ARGV ids
-- returns the ids that were in the queue
-- cost O(ids × log(jobs held)); while any has no key and waits in line also O(the line), once a call, at most 16 times
local gone, walked, touched, known, names, ended = {}, {}, {}, {}, {}, {}
for _, id in ipairs(ARGV) do
  local record = redis.call('HGET', jobs, id)
  if record then
    redis.call('HDEL', jobs, id)
    gone[#gone + 1] = id
    local seq, key = string.match(record, '^(%d+):(%S+) ')
    if key then
      local place = key .. ' ' .. seq .. ' ' .. id
      if redis.call('ZREM', claimed, id) == 1 then
        if not ended[key] then names[#names + 1] = key end
        ended[key] = (ended[key] or 0) + 1
      elseif redis.call('ZREM', line, place) + redis.call('ZREM', delayed, place) + redis.call('ZREM', later, place) == 0 then
        redis.call('HDEL', stalled, id)
      elseif not known[key] then
        known[key] = true
        touched[#touched + 1] = key
      end
    elseif redis.call('ZREM', claimed, id) + redis.call('ZREM', delayed, id) + redis.call('HDEL', stalled, id) == 0 then
      walked[#walked + 1] = id
    end
  end
end
if #walked <= 16 then
  for _, id in ipairs(walked) do redis.call('LREM', ready, 1, id) end
else
  -- One walk for all: the line passes by once, and those that are gone stay out.
  local out = {}
  for _, id in ipairs(walked) do out[id] = true end
  local left = redis.call('LLEN', ready)
  while left > 0 do
    local part, kept = redis.call('LPOP', ready, math.min(left, 2000)), {}
    left = left - #part
    for _, id in ipairs(part) do
      if not out[id] then kept[#kept + 1] = id end
    end
    each('RPUSH', ready, kept)
  end
end
each('HDEL', owners, gone)
each('HDEL', tries, gone)
each('HDEL', history, gone)
each('HDEL', stamps, gone)
release(names, ended)
advance(touched)
count(counts, 'retracted', #gone)
if #gone > 0 and listened() then tell({ { 'retracted', gone } }) end
return gone
