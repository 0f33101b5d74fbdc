-- A claim that forwarded nothing is given back, its attempt number too.  KEYS[1] record  ARGV owner
-- By owner, not by fence: who never got an answer to its claim knows no fence.
local k = KEYS[1]
local v = redis.call('HMGET', k, 's', 'o', 'n')
if v[1] ~= 'P' or v[2] ~= ARGV[1] then return 0 end
local n = tonumber(v[3] or 1) - 1
local noted = false
for _, field in ipairs(redis.call('HKEYS', k)) do
  if string.sub(field, 1, 2) == 'd:' then noted = true; break end
end
if n < 1 and not noted then
  -- No other attempt ever held it, so no old fence is about: nothing is worth a record.
  redis.call('DEL', k)
else
  redis.call('HSET', k, 's', 'F', 'n', math.max(n, 0))
  redis.call('HDEL', k, 'x', 'o')
end
return 1
