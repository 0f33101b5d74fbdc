-- Was it delivered lately, for this source?  KEYS[1] record  ARGV 8 bytes of whose it is, how long ago at most (ms),
-- window ms, how long ago (ms) the same wish began  Answer: its tail | nil, no
local at, again, tail = string.match(redis.call('GET', KEYS[1]) or '', '^D %d+ %d+ (%d+) (%d+)%S* (.*)$')
if not at or string.sub(tail, 1, 8) ~= ARGV[1] then return false end
local t = redis.call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
if ms - at > tonumber(ARGV[2]) then return false end
-- SCAN may name a key twice: this wish has let it through already.
if tonumber(again) >= ms + ARGV[3] - ARGV[4] then return false end
return tail
