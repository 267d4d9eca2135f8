-- Begin the leases of jobs anew, where the token is still theirs.
-- KEYS claimed owners counts
-- ARGV 1 lease in ms, 2 "ID TOKEN ID TOKEN …"
-- returns {"ID ID …" that are no longer the caller's, end of the new leases in ms}
-- cost O(jobs renewed × log(jobs claimed))
drains(claimed)
local ids, tokens = {}, {}
for id, token in string.gmatch(ARGV[2], '(%S+) (%S+)') do
  ids[#ids + 1], tokens[#tokens + 1] = id, token .. ':'
end
local until_ms = now + tonumber(ARGV[1])
local holders = fetch('HMGET', owners, ids)
local leases, stale = {}, {}
for i, id in ipairs(ids) do
  if holders[i] and string.sub(holders[i], 1, #tokens[i]) == tokens[i] then
    leases[#leases + 1], leases[#leases + 2] = until_ms + i / 4096, id
  else
    stale[#stale + 1] = id
  end
end
each('ZADD', claimed, leases)
count(counts, 'stale', #stale)
return { table.concat(stale, ' '), until_ms }
