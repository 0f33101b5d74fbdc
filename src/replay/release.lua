-- A claim that forwarded nothing is given back, its attempt number too.  KEYS[1] record  ARGV owner
-- By owner, not by fence: who never got an answer to its claim knows no fence.
local k, call = KEYS[1], redis.call
local fence, claims, owner, marks, known =
  string.match(call('GET', k) or '', '^P (%d+) (%d+) %d+ ([^+?* ]+)(%S*)(.*)$')
if owner ~= ARGV[1] then return 0 end
local n = math.max(claims - 1, 0)
if n == 0 and known == '' and #marks <= 12 then
  -- No other attempt ever held it or came, so no old fence is about: nothing is worth a record.
  call('DEL', k)
else
  call('SET', k, 'F ' .. fence .. string.format(' %.0f 0 -', n) .. marks .. known, 'KEEPTTL')
end
return 1
