-- Counters: pail call shop counter add visits 1
--
-- A value is the number as text, so that `pail get` shows it.

local M = {}

local function value_of(bucket, key)
	local value = bucket:get(key)
	local n = math.tointeger(tonumber(value or "0"))
	if not n then
		error(("%q is not a counter"):format(key), 0)
	end
	return n
end

-- Add n (1 if left out) and return the sum.
function M.add(bucket, key, n)
	n = n or 1
	if math.type(n) ~= "integer" then
		error("n must be an integer", 0)
	end
	local sum = value_of(bucket, key) + n
	bucket:put(key, tostring(sum))
	return sum
end

-- The counter; one that nobody has added to is 0.
function M.read(bucket, key)
	return value_of(bucket, key)
end

return M
