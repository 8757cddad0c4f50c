#!/bin/sh
# Start a node in the foreground on build/data, and say what to type next.  Usage: run.sh BUILD
set -eu
port=${PAIL_PORT:-4040}
node=""
[ "$port" = 4040 ] || node=" --node tcp://127.0.0.1:$port"
cat <<EOF
A node of Pail, its data in build/data.  Stop it with ^C.  In a second terminal:

  export PATH=$(pwd)/$1:\$PATH
  pail$node create fruit
  pail$node put fruit apple red
  pail$node get fruit apple

EOF
exec "$1/paild" --config conf/dev.conf --data build/data
