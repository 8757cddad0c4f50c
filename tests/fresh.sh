#!/bin/bash
# The README's first minute on a bare Debian: its commands, word for word, in a clone of this repository's
# last commit, in a Debian that has nothing but git and make besides.  Needs root and Debian's mirror.
#
# build/fresh/base is made once (debootstrap, minbase); each run begins with a fresh copy of it, in which
# everything is really installed (packages that were fetched before come from build/fresh/archives).
# ONLY, EXCLUDE and INCLUDE reach `make test` there.
set -u
cd "$(dirname "$0")/.." || exit 1
fresh=$PWD/build/fresh root=$PWD/build/fresh/root
failed=0 passed=0
end() {
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ]
	exit
}
give_up() {
	echo "test-fresh: $1"
	failed=$((failed + 1))
	end
}
check() { # name command...
	local name=$1
	shift
	if "$@" >"$fresh/out" 2>&1; then
		echo "ok $name"
		passed=$((passed + 1))
	else
		sed 's/^/# /' "$fresh/out" | tail -30
		echo "not ok $name"
		failed=$((failed + 1))
	fi
}
[ "$(id -u)" = 0 ] || give_up "only root may make a Debian in a folder"
tools/deps.sh fresh || give_up "debootstrap cannot be installed"
mkdir -p "$fresh/archives"
if [ ! -e "$fresh/made" ]; then
	rm -rf "$fresh/base"
	echo "making $fresh/base"
	debootstrap --variant=minbase --include=git,make bookworm "$fresh/base" "${MIRROR:-http://deb.debian.org/debian}" >"$fresh/debootstrap.log" 2>&1 || {
		tail -5 "$fresh/debootstrap.log"
		give_up "debootstrap failed"
	}
	touch "$fresh/made"
fi

# What README tells a stranger to type, from the page itself.
commands=$(sed -n '/^On a fresh Debian/,/^## /s/^    \(make [a-z]*\) .*/\1/p' README.md)
for c in "make run" "make test"; do
	grep -qx "$c" <<<"$commands" || give_up "README's first block does not say $c any more"
done

rm -rf "$root"
cp -a --reflink=auto "$fresh/base" "$root" || give_up "no room for a copy of $fresh/base"
cp -L /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null
git status --porcelain | grep -q . && echo "what is not committed is not tested"
git clone -q --no-hardlinks . "$root/root/pail" || give_up "no clone"
echo "a bare Debian $(cat "$root/etc/debian_version"), $(chroot "$root" dpkg-query -W | wc -l) packages; Pail at $(git rev-parse --short HEAD)"

# A namespace of mounts and processes for each command: what it mounts and starts goes with it.  The
# terminal is script's: a stranger sits at one, and ^C comes through it.
cat >"$fresh/enter.sh" <<'END'
# its root must be a mount: `ip netns` makes / a slave
mount --make-rprivate / && mount --bind "$1" "$1" && mount -t proc proc "$1/proc" && mount --rbind /sys "$1/sys" && mount --rbind /dev "$1/dev" &&
	mount -t tmpfs -o mode=1777 tmpfs "$1/run" && mount --bind "$2" "$1/var/cache/apt/archives" || exit 1
root=$1
shift 2
exec chroot "$root" /usr/bin/env -i HOME=/root USER=root SHELL=/bin/bash TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
END
enter() { # command...
	unshare --mount --pid --fork --kill-child sh "$fresh/enter.sh" "$root" "$fresh/archives" "$@"
}
packages() { chroot "$root" dpkg-query -W -f='${Installed-Size}\t${Package}\n' | LC_ALL=C sort; }
installed() { # since the list $1: how many, and how much
	packages | LC_ALL=C comm -13 "$1" - | awk '{n++; kb += $1} END {printf "%d packages, %d MB\n", n, kb / 1024}'
}

packages >"$fresh/before"
begin=$SECONDS
cat >"$root/root/first.sh" <<'END'
# make run, in one terminal; what it says to type next, in another; ^C in the first.
cd /root/pail || exit 1
mkfifo /root/keys
script -qefc "make run" /root/run.log </root/keys >/dev/null &
exec 3>/root/keys
n=0
until grep -q '^ready: ' /root/run.log 2>/dev/null; do
	n=$((n + 1))
	kill -0 $! 2>/dev/null && [ $n -lt 18000 ] || { tail -30 /root/run.log; exit 1; }
	sleep 0.1
done
typed=$(sed -n 's/^  \(export \|pail \)/\1/p' /root/run.log | tr -d '\r')
printf '%s\n' "$typed"
got=$(bash -c "set -e; $typed" </dev/null) || { echo "what it says to type does not work: $got"; exit 1; }
echo "$got"
grep -q '^red' <<<"$got" || exit 1
printf '\003' >&3
wait $!
status=$?
tail -5 /root/run.log
for p in /proc/[0-9]*/exe; do
	case $(readlink "$p") in */pail*) echo "left behind: $(readlink "$p")"; exit 1 ;; esac
done
[ $status -le 2 ] # make says 2 when it was interrupted
END
check "make run builds, starts a node and says what to type next" enter bash /root/first.sh
echo "# make run: $((SECONDS - begin)) s, installed $(installed "$fresh/before")"
check "make run installs neither clang nor Python" bash -c "! chroot '$root' dpkg-query -W -f='\${Package}\n' | grep -E '^(clang|llvm|libllvm|libclang|python)'"
packages >"$fresh/between"

begin=$SECONDS
echo "== make test"
enter env ${ONLY:+ONLY="$ONLY"} ${EXCLUDE:+EXCLUDE="$EXCLUDE"} ${INCLUDE:+INCLUDE="$INCLUDE"} \
	sh -c 'cd /root/pail && make test' </dev/null 2>&1 | tee "$fresh/test.log"
status=${PIPESTATUS[0]}
check "make test passes" [ "$status" = 0 ]
echo "# make test: $((SECONDS - begin)) s, installed $(installed "$fresh/between") more: $(tail -1 "$fresh/test.log")"
end
