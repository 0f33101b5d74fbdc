-- A repeat of this delivery was delivered under a record of its own.  KEYS[1] record  ARGV variant, how many are remembered
-- Answer: the variants that are forgotten for it, 11 characters each
local k = KEYS[1]
local head, base, marks, rest = string.match(redis.call('GET', k) or '', '^(%a %d+ %d+ %d+ )([^+?* ]*)(%S*)(.*)$')
if not head then return '' end
local delivered, others = {}, ''
for kind, variant in string.gmatch(marks, '([+?*])([%w_-]*)') do
  if kind == '+' then
    if variant ~= ARGV[1] then delivered[#delivered + 1] = variant end
  elseif variant ~= ARGV[1] then
    others = others .. kind .. variant
  end
end
delivered[#delivered + 1] = ARGV[1]
local forgotten = ''
while #delivered > tonumber(ARGV[2]) do forgotten = forgotten .. table.remove(delivered, 1) end
marks = '+' .. table.concat(delivered, '+') .. others
redis.call('SET', k, head .. base .. marks .. rest, 'KEEPTTL')
return forgotten
