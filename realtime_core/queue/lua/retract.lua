-- Take jobs out of the queue, wherever they are. The claim of one that was claimed is stale from now on.
-- KEYS jobs ready delayed claimed owners tries stalled stamps counts
-- ARGV ids
-- returns the ids that were in the queue
-- cost O(ids), and for an id that waits in line O(its place in the line)
local gone = {}
for _, id in ipairs(ARGV) do
  if redis.call('HDEL', jobs, id) == 1 then
    gone[#gone + 1] = id
    if redis.call('ZREM', claimed, id) + redis.call('ZREM', delayed, id) + redis.call('HDEL', stalled, id) == 0 then
      redis.call('LREM', ready, 1, id)
    end
  end
end
each('HDEL', owners, gone)
each('HDEL', tries, gone)
each('HDEL', stamps, gone)
count(counts, 'retracted', #gone)
return gone
