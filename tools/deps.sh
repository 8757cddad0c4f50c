#!/bin/sh
# Install from Debian what is missing to build, test and measure Pail.
set -eu
packages="gcc make pkg-config libc6-dev liblmdb-dev libzmq3-dev libcunit1-dev libmsgpuck-dev libedit-dev libevent-dev iproute2
	clang clang-format clang-tidy python3 python3-zmq python3-msgpack"
case ${1:-} in
bench) packages="$packages redis-server redis-tools" ;;
systemd) packages="$packages debootstrap systemd-container" ;;
esac
missing=""
for p in $packages; do
	state=$(dpkg-query -W -f='${Status}' "$p" 2>/dev/null || true)
	[ "$state" = "install ok installed" ] || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
echo "installing:$missing"
sudo=""
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || { echo "deps: not root and no sudo: install by hand:$missing" >&2; exit 1; }
	sudo="sudo"
fi
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# shellcheck disable=SC2086
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
