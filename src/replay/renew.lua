-- A holder that needs longer.  KEYS[1] record  ARGV fence, lease ms, open ms.  Answer: 1 held | 0 fenced
local k = KEYS[1]
local v = redis.call('HMGET', k, 's', 'f')
if v[1] ~= 'P' or v[2] ~= ARGV[1] then return 0 end
local t = redis.call('TIME')
local lease = tonumber(ARGV[2])
redis.call('HSET', k, 'x', string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000) + lease))
redis.call('PEXPIRE', k, string.format('%.0f', math.max(redis.call('PTTL', k), tonumber(ARGV[3]), lease)))
return 1
