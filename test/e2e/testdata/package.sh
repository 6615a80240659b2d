#!/bin/bash
# Inside new namespaces: makes a Debian tree the root, installs berth.deb there,
# runs hello-world with a Hub and an engine from the package, and removes it.
#   package.sh ROOT
set -euo pipefail
if [ "$1" != --inside ]; then
	root=$1
	mount --make-rprivate /
	ip link set lo up
	mount --bind "$root" "$root"
	mount -t proc proc "$root/proc"
	mount -t sysfs sysfs "$root/sys"
	mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
	mount --rbind /dev "$root/dev"
	mount -t tmpfs tmpfs "$root/run"
	cp "$0" "$root/package.sh"
	cd "$root"
	mkdir -p host
	pivot_root . host
	exec /bin/bash /package.sh --inside
fi
umount -l /host
cd /
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
files() { find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/log -o -path /var/lib/dpkg -o -path /var/cache -o -path '/etc/*-' \) -prune -o -print | sort; }
files >/tmp/before

dpkg -i /berth.deb
getent group berth
berth --version

berth-hub serve --listen 127.0.0.1:5000 --data /tmp/hub >/tmp/hub.log 2>&1 &
hub=$!
berthd --registry-mirror http://127.0.0.1:5000 --data-root /tmp/data >/tmp/berthd.log 2>&1 &
engine=$!
trap 'cat /tmp/hub.log /tmp/berthd.log' ERR
for _ in $(seq 100); do
	[ -S /run/berth.sock ] && berth version >/dev/null 2>&1 && break
	sleep 0.1
done
berth run --rm hello-world
berth info --format '{{.ServerVersion}} {{.Driver}}'
berth compose version
berth buildx version
[ "$(readlink -f /usr/libexec/berth/cli-plugins/docker-compose)" = /usr/libexec/berth/berth-compose ]
[ "$(readlink -f /usr/libexec/berth/cli-plugins/docker-buildx)" = /usr/libexec/berth/berth-build ]
kill $engine && wait $engine
kill $hub && wait $hub

dpkg -r berth
dpkg -P berth
groupdel berth
files >/tmp/after
diff /tmp/before /tmp/after
echo removed cleanly
