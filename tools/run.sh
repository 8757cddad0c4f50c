#!/bin/bash
# Start a node in the foreground on build/data, and say what to type next.  Usage: run.sh BUILD
#
# PAIL_PORT is its port.  It is configured by build/run.conf, which is conf/dev.conf with that folder and with
# build/functions for its functions: so `pail --config build/run.conf` reaches it, from anywhere.
set -eu
port=${PAIL_PORT:-4040}
if [[ $port =~ ^[0-9]+$ ]] && (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
	pid=$(cat build/data/lock 2>/dev/null || true)
	who="another program" advice="stop it, or choose another port: make run PAIL_PORT=$((port + 10))"
	if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = paild ]; then
		who="the node on build/data, which runs already (pid $pid)" advice="stop it"
	fi
	echo "make run: port $port is taken, most likely by $who: $advice" >&2
	exit 1
fi
node=""
[ "$port" = 4040 ] && [ -z "${PAIL_NODE:-}" ] || node=" --node tcp://127.0.0.1:$port"
cat >build/run.conf <<END
# Made by \`make run\`, anew each time.
include = $PWD/conf/dev.conf

[node]
data = $PWD/build/data

[functions]
dir = $PWD/build/functions
END
mkdir -p build/functions
cat <<EOF
A node of Pail, its data in build/data.  Stop it with ^C.  In a second terminal:

  export PATH=$PWD/$1:\$PATH
  pail$node create fruit
  pail$node put fruit apple red
  pail$node get fruit apple
  pail --config $PWD/build/run.conf status

EOF
exec "$1/paild" --config build/run.conf
