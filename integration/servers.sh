#!/bin/sh
# Installs those of the named programs that are missing: gcc mosquitto redis chromium node.
# Debian and its children only; elsewhere it says what to install by hand. Nothing is left running.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:/usr/sbin:/sbin
packages=
node=no

want() { # want PROGRAM PACKAGE...: notes the packages when the program is missing
	program=$1
	shift
	command -v "$program" >/dev/null 2>&1 || packages="$packages $*"
}

for name in "$@"; do
	case $name in
	gcc) want gcc gcc libc6-dev ;; # for go test -race
	mosquitto)
		want mosquitto mosquitto
		want mosquitto_sub mosquitto-clients
		;;
	redis)
		want redis-server redis-server
		want redis-cli redis-tools
		;;
	chromium) command -v chromium-browser >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || want chromium chromium ;;
	node)
		want npm nodejs npm
		want node nodejs
		node=yes
		;;
	*)
		echo "servers.sh: do not know how to install $name" >&2
		exit 2
		;;
	esac
done

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null 2>&1; then
		sudo "$@"
	else
		echo "servers.sh: neither root nor sudo; install by hand:$packages" >&2
		exit 1
	fi
}

install_packages() {
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "servers.sh: this is no Debian; install by hand what Debian calls:$packages" >&2
		exit 1
	fi
	# Debian starts what it installs, unless policy-rc.d (Debian Policy 9.3.3) forbids it: 1883 and 6379 stay free.
	guard=/usr/sbin/policy-rc.d
	guarded=no
	if [ ! -e $guard ]; then
		guarded=yes
		printf '#!/bin/sh\nexit 101\n' | as_root tee $guard >/dev/null
		as_root chmod 755 $guard
		trap 'as_root rm -f $guard' EXIT INT TERM
	fi
	as_root apt-get update -q
	# shellcheck disable=SC2086 # a list
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages
	if [ $guarded = yes ]; then
		as_root rm -f $guard
		trap - EXIT INT TERM
	fi
}

[ -z "$packages" ] || install_packages

if [ $node = yes ]; then
	cd "$here/node"
	# npm keeps the lock file of what it installed; npm ci would do it all anew each time.
	cmp -s package-lock.json node_modules/.installed || {
		npm ci
		cp package-lock.json node_modules/.installed
	}
	# Debian 12 has Node 18; the provider and the second broker need 20. The package "node" is that binary.
	major=$(node -p 'process.versions.node.split(".")[0]')
	if [ "$major" -lt 20 ] && [ ! -x node_modules/.bin/node ]; then
		npm install --no-save --no-package-lock node@20
	fi
fi
