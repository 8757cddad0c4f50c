#!/bin/bash
# Pail under a real systemd: boot Debian in a container (debootstrap, systemd-nspawn), install Pail into it with
# make install, and do there what operators do (check.sh).  Needs root and Debian's mirror; the tree of the
# first run is kept in build/sysroot.
set -u
cd "$(dirname "$0")/../.." || exit 1
root=$PWD/build/sysroot
[ "$(id -u)" = 0 ] || { echo "test-systemd: only root may boot a container"; echo "0 passed, 1 failed"; exit 1; }
tools/deps.sh systemd || exit 1
if [ ! -e "$root/made" ]; then
	rm -rf "$root"
	echo "making $root"
	debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,procps,libzmq5,liblmdb0,libedit2,libjansson4,libcurl4,libevent-core-2.1-7,liblua5.4-0 \
		bookworm "$root" "${MIRROR:-http://deb.debian.org/debian}" >build/debootstrap.log 2>&1 || {
		tail -5 build/debootstrap.log
		echo "0 passed, 1 failed"
		exit 1
	}
	touch "$root/made"
fi
make --no-print-directory MODE=release DESTDIR="$root" PREFIX=/usr install >/dev/null || exit 1
systemd-sysusers --root="$root" >/dev/null && systemd-tmpfiles --root="$root" --create "$root/usr/lib/tmpfiles.d/pail.conf" || exit 1
rm -rf "$root/var/lib/pail" "$root/etc/systemd/system/pail@bar.socket.d" "$root/var/lib/private/pail" "$root/etc/systemd/system/pail@bar.service.d"
install -d "$root/etc/pail" "$root/etc/systemd/system/multi-user.target.wants"
for n in foo bar; do
	port=4040 other=bar at=4141
	[ $n = bar ] && port=4140 other=foo at=4041
	cat >"$root/etc/pail/$n.conf" <<EOF
[node]
name = $n
client = tcp://127.0.0.1:$port
peer = tcp://127.0.0.1:$((port + 1))
data = /var/lib/pail/$n
workers = 2
[storage]
map = 4G
[peers]
$other = tcp://127.0.0.1:$at
[routes]
a-m = foo
n-z = bar
EOF
done
printf '[gateway]\ntext = 127.0.0.1:4042\n' >>"$root/etc/pail/foo.conf"
install -m755 tests/systemd/check.sh "$root/root/check.sh"
cat >"$root/etc/systemd/system/check.service" <<'EOF'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/root/check.sh
StandardOutput=file:/root/result
StandardError=file:/root/result
ExecStopPost=/bin/systemctl poweroff --no-block
TimeoutStartSec=400
EOF
ln -sf ../check.service "$root/etc/systemd/system/multi-user.target.wants/check.service"
rm -f "$root/root/result"
timeout 450 systemd-nspawn -q -D "$root" --boot --private-network --register=no --keep-unit --console=pipe >build/systemd.log 2>&1
cat "$root/root/result"
passed=$(grep -c '^ok ' "$root/root/result")
failed=$(grep -c '^not ok ' "$root/root/result")
grep -q '^end$' "$root/root/result" || { failed=$((failed + 1)); echo "not ok the checks came to an end"; tail -20 build/systemd.log; }
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
