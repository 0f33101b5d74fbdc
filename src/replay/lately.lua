-- Was it delivered lately, for this source?  KEYS[1] record  ARGV 8 bytes of whose it is, how long ago at most (ms),
-- window ms, how long ago (ms) the same wish began  Answer: its event, or '' | nil, no
local v = redis.call('HMGET', KEYS[1], 's', 't', 'e', 'w')
if v[1] ~= 'D' or not v[2] then return false end
local at, whose = string.match(v[2], '^(%d+):(.*)$')
if whose ~= ARGV[1] then return false end
local t = redis.call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
if ms - at > tonumber(ARGV[2]) then return false end
-- SCAN may name a key twice: this wish has let it through already.
if v[4] and tonumber(v[4]) >= ms + ARGV[3] - ARGV[4] then return false end
return v[3] or ''
