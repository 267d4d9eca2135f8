-- Put stalled jobs back in line, those with a key at their place in it. Their attempts stay counted: each gets one more.
-- KEYS ready line turns busy later stalled counts wake
-- USES turns notices
-- ARGV ids
-- returns the ids that were stalled; nothing is done to others
-- cost O(ids), for those with a key × log(jobs with a key)
local back, plain, places, names, seen, found = {}, {}, {}, {}, {}, fetch('HMGET', stalled, ARGV)
for i, id in ipairs(ARGV) do
  if found[i] and not seen[id] then
    seen[id] = true
    back[#back + 1] = id
    local seq, key = string.match(found[i], '^%S+ %S+ %S+ (%d+):(%S+)')
    if key then
      places[#places + 1], places[#places + 2] = 0, key .. ' ' .. seq .. ' ' .. id
      names[#names + 1] = key
    else
      plain[#plain + 1] = id
    end
  end
end
each('HDEL', stalled, back)
each('RPUSH', ready, plain)
each('ZADD', line, places)
advance(names)
count(counts, 'retried', #back)
if #plain > 0 then signal(wake) end
if #back > 0 and listened() then tell({ { 'retried', back } }) end
return back
