#!/bin/sh
# Installs those of the named things that are missing: the programs gcc, mosquitto, redis, nginx, rabbitmq and chromium; node
# (with the npm packages of the integration tests); page (with the library of the demo's page).
# Debian and its children only; elsewhere it says what to install by hand. Nothing is left running.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:/usr/sbin:/sbin
packages= # of Debian
folders=  # with a package-lock.json
tests=no  # whether the integration tests' programs will run

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
	rabbitmq) want rabbitmq-server rabbitmq-server ;;
	nginx) want nginx nginx-light ;;
	chromium) command -v chromium-browser >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || want chromium chromium ;;
	node)
		want npm nodejs npm
		want node nodejs
		folders="$folders $here/node"
		tests=yes
		;;
	page)
		want npm nodejs npm
		folders="$folders $here/../cmd/topicgate-demo/web"
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

for folder in $folders; do
	cd "$folder"
	# A copy of the lock file tells what is installed; npm ci would do it all anew each time.
	cmp -s package-lock.json node_modules/.installed && continue
	npm ci --ignore-scripts --loglevel=error # what the lock names, and no program of a package's own
	cp package-lock.json node_modules/.installed
done

if [ $tests = yes ]; then
	# Debian 12 has Node 18; the provider and the second broker need 20. The tests prefer the Node in here.
	cd "$here/node"
	if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ] && [ ! -x node_modules/.bin/node ]; then
		npm install --no-save --no-package-lock --ignore-scripts --loglevel=error "node-linux-$(node -p process.arch)@22.23.3"
	fi
fi
