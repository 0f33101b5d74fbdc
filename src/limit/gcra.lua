-- Takes up to so many cells from a bucket, in one step. A bucket is the time at which it will be full again, in
-- microseconds of Redis's clock; its key ends by itself at that time. What is refused takes nothing.
-- KEYS[1] = bucket  ARGV = cells that come back, in this many microseconds, size of the bucket in cells, cells wanted
-- -> {cells granted, microseconds until there is one more; 0: there is}
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local emission = ARGV[2] / ARGV[1]
local size = emission * ARGV[3]
local full = tonumber(redis.call('GET', KEYS[1])) or now
if full < now then full = now end
-- Half a microsecond and one are for rounding: a double holds a quarter of a microsecond exactly.
-- The clock stepped back, or the limit was lowered: nobody waits for more than one bucket. That must be written even if
-- nothing is granted, or the next question would find the old time again, and so on until the clock has caught up.
local far = full > now + size + 1
if far then full = now + size end
local granted = math.floor((now + size - full + 0.5) / emission)
if granted > tonumber(ARGV[4]) then granted = tonumber(ARGV[4]) end
if granted < 0 then granted = 0 end
if granted > 0 or far then
  full = full + granted * emission
  redis.call('SET', KEYS[1], string.format('%.2f', full), 'PX', string.format('%.0f', math.max(1, math.ceil((full - now) / 1000))))
end
local wait = math.ceil(emission - (now + size - full) - 0.5)
if wait < 0 then wait = 0 end
return {granted, wait}
