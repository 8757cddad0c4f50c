/* The only place that knows where Lua's headers lie. */
#ifndef PAIL_FUNCTIONS_LUA_IMPL_H
#define PAIL_FUNCTIONS_LUA_IMPL_H

#include <lua5.4/lua.h>
#include <lua5.4/lauxlib.h>
#include <lua5.4/lualib.h>

#endif
