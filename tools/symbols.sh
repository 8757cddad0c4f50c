#!/bin/sh
# What the linked programs carry: no LMDB, Lua, libcurl or JSON in paild, no ZeroMQ in pail-worker and
# pail-agent, only pail_ in the library, and the hardening that the flags ask for.  Usage: symbols.sh BUILD
b=$1
status=0
fail() {
	echo "symbols: $1" >&2
	status=1
}
nm "$b/paild" | grep -q ' mdb_' && fail "paild carries LMDB symbols"
nm "$b/paild" | grep -q ' lua_' && fail "paild carries Lua symbols"
nm "$b/paild" | grep -qE ' (curl|json_loadb|json_object)' && fail "paild carries symbols of libcurl or jansson"
nm "$b/pail-agent" | grep -q ' zmq_' && fail "pail-agent carries ZeroMQ symbols"
nm "$b/pail-worker" | grep -q ' zmq_' && fail "pail-worker carries ZeroMQ symbols"
other=$(nm -D --defined-only "$b/libpail.so" | awk '{print $3}' | grep -v '^pail_')
[ -z "$other" ] || fail "libpail.so exports: $other"
for f in paild pail-worker pail-gateway pail-agent pail libpail.so; do
	readelf -lW "$b/$f" | grep -q GNU_RELRO || fail "$f has no RELRO"
	readelf -dW "$b/$f" | grep -q BIND_NOW || readelf -dW "$b/$f" | grep -q 'FLAGS.*NOW' || fail "$f has no BIND_NOW"
done
readelf -dW "$b/libpail.so" | grep -q 'SONAME.*libpail.so.1' || fail "libpail.so has no versioned soname"
exit $status
