#!/bin/sh
# Install from Debian what is missing.  Usage: deps.sh [run|test|page|bench|foreign|systemd|fresh]
#
#	run      what builds Pail and runs it: a compiler and the libraries
#	test     that, and what tests, fuzzing and lint need (the default)
#	page     that, and a browser that looks at the gateway's page
#	bench    that, and Redis
#	foreign  that, and other makers' ZeroMQ libraries with their languages (npm's zeromq is not Debian's)
#	systemd  that, and what boots a container
#	fresh    what makes a Debian in a folder
set -eu
run="gcc make libc6-dev liblmdb-dev libzmq3-dev libmsgpuck-dev libedit-dev libjansson-dev libcurl4-openssl-dev libevent-dev liblua5.4-dev libjs-dygraphs"
# etcd-server: where systemd runs, Debian starts one as a service; tests take no notice of it and run
# their own.
# prometheus: likewise; tests need its promtool alone.
# libclang-rt-dev: fuzz targets are linked with it, and clang only recommends it.
test="pkg-config libcunit1-dev etcd-server openssl iproute2 clang libclang-rt-dev clang-format clang-tidy mandoc valgrind python3 python3-zmq python3-msgpack prometheus"
case ${1:-test} in
run) packages=$run ;;
test) packages="$run $test" ;;
page) packages="$run $test chromium chromium-driver python3-selenium fonts-dejavu-core" ;;
bench) packages="$run $test redis-server redis-tools" ;;
foreign)
	"$0" foreign-debian
	[ -d build/foreign/node_modules/zeromq ] || npm install --silent --no-fund --no-audit --prefix build/foreign zeromq@6
	exit
	;;
foreign-debian)
	packages="$run $test default-jdk-headless libjeromq-java libmsgpack-java libzmq-ffi-perl libdata-messagepack-perl
		$(command -v npm >/dev/null || echo nodejs npm)"
	;;
systemd) packages="$run $test debootstrap systemd-container" ;;
fresh) packages="debootstrap git" ;;
*)
	echo "deps: there is no part \"$1\": run, test, page, bench, foreign, systemd or fresh" >&2
	exit 2
	;;
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
