-- What became of an attempt.  KEYS[1] record  ARGV fence, keep ms, the record that it becomes if every required destination
-- has had it by now ('': there are none), and, unless all of them are among those that answered 2xx in this very attempt:
-- attempt, life ms of an unfinished record, last 0|1, how many are missing, these, then those that answered 2xx
-- Answer: D and the variants that it remembers, delivered | A delivered already, by another | O open | F another attempt holds it (successes are noted all
-- the same)
local k, call = KEYS[1], redis.call
local v = call('GET', k)
if v and string.byte(v) == 68 then
  -- Delivered under other values, and now under these too (a lease ran out): these are not pending any more.
  local own = not ARGV[4] and string.match(ARGV[3], '^D %d+ %d+ %d+ 0%?([%w_-]+) ')
  local from, to = string.find(v, own and '?' .. own or '\n', 1, true)
  if own and from and from < string.find(v, ' ', string.len(string.match(v, '^D %d+ %d+ %d+ ')) + 1, true) then
    call('SET', k, string.sub(v, 1, from - 1) .. '+' .. string.sub(v, from + 1), 'KEEPTTL')
  end
  return 'A'
end
local mine = not v or string.find(v, ARGV[1] .. ' ', 3, true) == 3
-- The delivered record remembers the variants that the one before it did, but for its own, which stands behind the 0.
local marks = v and string.match(v, '^%a %d+ %d+ %d+ [^+?* ]*([+?*]%S*)') or ''
local function delivered(record)
  local own = string.match(record, '^D %d+ %d+ %d+ 0(%?[%w_-]+) ')
  if marks == '' and not own then return record, '' end
  local kept = string.gsub(marks, '%*', '')
  local from, to = string.find(kept, own or '*', 1, true)
  if from then kept = string.sub(kept, 1, from - 1) .. string.sub(kept, to + 1) end
  record = string.gsub(record, '^(D %d+ %d+ %d+ 0)[%w_?-]*', '%1' .. kept, 1)
  return record, kept
end
if mine and not ARGV[4] then
  local record, kept = delivered(ARGV[3])
  call('SET', k, record, 'PX', ARGV[2])
  return 'D' .. kept
end

local s, fence, claims, till, by, known
if v then s, fence, claims, till, by, known = string.match(v, '^([PF]) (%d+) (%d+) (%d+) (%S+)(.*)$') end
local function has_had_it(name) return known and string.find(known .. ' ', ' ' .. name .. ' ', 1, true) end
local successes = 8 + (ARGV[7] or 0)

-- Success is absorbing: it counts whoever holds the delivery by now, and if the record was lost in between (failover,
-- eviction) it makes one. Who had it matters no more at D.
local all = ARGV[3] ~= ''
for i = 8, successes - 1 do all = all and has_had_it(ARGV[i]) end
if all then
  local n, rest = string.match(ARGV[3], '^D %d+ (%d+)(.*)$')
  -- Fewer claims only if it was lost in between.
  local record, kept = delivered('D ' .. (fence or ARGV[1]) .. ' ' .. string.format('%.0f', math.max(n, claims or 0)) .. rest)
  call('SET', k, record, 'PX', ARGV[2])
  return 'D' .. kept
end

local succeeded = successes <= #ARGV
if not s then
  if not succeeded then return 'O' end
  s, fence, claims, till, by, known = 'F', ARGV[1], ARGV[4], '0', '-', ''
end
for i = successes, #ARGV do
  if not has_had_it(ARGV[i]) then known = known .. ' ' .. ARGV[i] end
end
-- A record's time is only ever made longer before it is delivered.
local life = math.max(call('PTTL', k), 1)
if succeeded then life = math.max(life, ARGV[2]) end
if mine and ARGV[6] == '1' then
  s, till, by = 'F', '0', '-' .. marks
  life = math.max(life, ARGV[5])
end
call('SET', k, s .. ' ' .. fence .. ' ' .. claims .. ' ' .. till .. ' ' .. by .. known, 'PX', string.format('%.0f', life))
return mine and 'O' or 'F'
