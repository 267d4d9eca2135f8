-- Put stalled jobs back in line. Their attempts stay counted: each gets one more.
-- KEYS ready stalled counts wake
-- ARGV ids
-- returns the ids that were stalled; nothing is done to others
-- cost O(ids)
local back, seen, found = {}, {}, fetch('HMGET', stalled, ARGV)
for i, id in ipairs(ARGV) do
  if found[i] and not seen[id] then
    seen[id] = true
    back[#back + 1] = id
  end
end
each('HDEL', stalled, back)
each('RPUSH', ready, back)
count(counts, 'retried', #back)
if #back > 0 then signal(wake) end
return back
