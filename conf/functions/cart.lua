-- Shopping carts: pail call shop cart set ann pear 3 25; pail call shop cart total ann
--
-- A line of a cart is a key of its own, CART/ITEM, with the value "COUNT CENTS".  A cart's name may
-- not hold a slash, an item's may.

local M = {}

local function check(ok, text)
	if not ok then
		error(text, 0)
	end
end

local function key_of(cart, item)
	check(type(cart) == "string" and cart ~= "" and not cart:find("/", 1, true),
		"a cart's name is a string without a slash")
	return cart .. "/" .. item
end

local function natural(n)
	return math.type(n) == "integer" and n >= 0
end

-- So many of an item at so many cents each; none: the line goes.
function M.set(bucket, cart, item, count, cents)
	check(natural(count), "count must be an integer, 0 at least")
	if count == 0 then
		return bucket:delete(key_of(cart, item))
	end
	check(natural(cents), "cents must be an integer, 0 at least")
	bucket:put(key_of(cart, item), ("%d %d"):format(count, cents))
	return true
end

-- {lines, items, cents}: all lines at one moment.
function M.total(bucket, cart)
	local sum = {lines = 0, items = 0, cents = 0}
	for key, value in bucket:scan{prefix = key_of(cart, "")} do
		local count, cents = value:match("^(%d+) (%d+)$")
		check(count, ("%q is no line of a cart"):format(key))
		sum.lines = sum.lines + 1
		sum.items = sum.items + math.tointeger(count)
		sum.cents = sum.cents + math.tointeger(count) * math.tointeger(cents)
	end
	return sum
end

-- Empty it, and return what its total was.
function M.checkout(bucket, cart)
	local sum = M.total(bucket, cart)
	for key in bucket:scan{prefix = key_of(cart, ""), keys_only = true} do
		bucket:delete(key)
	end
	return sum
end

return M
