#!/usr/bin/env bash
# Makes a machine ready for `make demo`, `make test` or `make bench`: installs
# exactly the packages that are missing and checks what cannot be installed.
# It changes nothing else: a service that comes with a package installed here is
# neither started nor enabled, one that was there before is left alone. MySQL is
# not installed but unpacked below .cache of this checkout (install-mysql.sh).
#
#   scripts/setup.sh build | test
#   scripts/setup.sh demo | bench [mariadb | mysql]
#   scripts/setup.sh mysql     only MySQL
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:-demo}
flavor=${2:-mariadb}
lacking=()

lack() { lacking+=("$1"); }

finish() {
	((${#lacking[@]} == 0)) && return
	printf 'setup: this machine cannot do "make %s":\n' "$purpose" >&2
	printf '  - %s\n' "${lacking[@]}" >&2
	exit 1
}

# --- Go ---------------------------------------------------------------------

check_go() {
	local want have
	want=$(awk '$1 == "go" { print $2; exit }' go.mod)
	if ! command -v go >/dev/null; then
		if [[ -x /usr/local/go/bin/go ]]; then
			lack "Go is in /usr/local/go/bin, which is not on the PATH (sudo drops it): PATH=\$PATH:/usr/local/go/bin make $purpose"
		else
			lack "no Go: install Go $want or newer, see https://go.dev/doc/install"
		fi
		return
	fi
	if ! have=$(go env GOVERSION 2>&1); then # an older Go has tried to fetch what go.mod asks for
		lack "Go cannot become the $want that go.mod asks for (${have//$'\n'/ }): see https://go.dev/doc/install"
		return
	fi
	have=${have#go}
	if [[ $(printf '%s\n%s\n' "$want" "${have%%[- ]*}" | sort -V | head -n1) != "$want" ]]; then
		lack "Go $have is too old: go.mod asks for $want, see https://go.dev/doc/install"
	fi
}

# --- packages -----------------------------------------------------------------

# program:package, for each purpose.
programs() {
	[[ $purpose == build ]] && return
	echo ip:iproute2 ss:iproute2 nft:nftables sysctl:procps flock:util-linux
	if [[ $flavor == mariadb ]]; then
		echo mariadbd:mariadb-server mariadb-install-db:mariadb-server mariadb-backup:mariadb-backup
	fi
	case $purpose in
	test)
		echo keepalived:keepalived etcd:etcd-server gcc:gcc perl:perl-base
		echo java:default-jre-headless
		# Whoever has a mail server keeps it: Debian allows one.
		[[ -e /usr/sbin/sendmail ]] || echo exim4:exim4-daemon-light
		echo named:bind9 knotd:knot pdns_server:pdns-server sqlite3:sqlite3 unbound:unbound
		echo haproxy:haproxy nginx:nginx
		echo vtysh:frr bird:bird2
		;;
	bench) echo keepalived:keepalived ;;
	esac
}

# Programs for administrators are not on everybody's PATH.
export PATH=$PATH:/usr/sbin:/sbin

# Services that packages bring along.
services() {
	local package
	for package in "$@"; do
		case $package in
		mariadb-server) echo mariadb ;;
		keepalived) echo keepalived ;;
		etcd-server) echo etcd ;;
		exim4-daemon-light) echo exim4 ;;
		bind9) echo named ;;
		knot) echo knot ;;
		pdns-server) echo pdns ;;
		unbound) echo unbound ;;
		haproxy) echo haproxy ;;
		nginx) echo nginx ;;
		frr) echo frr ;;
		bird2) echo bird ;;
		esac
	done
}

install_missing() {
	local pair missing=()
	for pair in $(programs); do
		command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
	done
	if [[ $purpose == test && ! -e /usr/include/stdlib.h ]]; then
		missing+=(libc6-dev) # the race detector is linked with it
	fi
	if [[ $purpose == test && ! -e /usr/lib/nginx/modules/ngx_stream_module.so ]]; then
		missing+=(libnginx-mod-stream)
	fi
	if [[ $purpose == test && ! -e /usr/share/java/zookeeper.jar ]]; then
		missing+=(libzookeeper-java) # ZooKeeper without its service and its desktop
	fi
	if [[ $purpose == test && ! -e /usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql ]]; then
		missing+=(pdns-backend-sqlite3)
	fi
	((${#missing[@]} == 0)) && return
	mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
	if ! command -v apt-get >/dev/null; then
		lack "missing: ${missing[*]} (names as Debian has them; there is no apt-get here)"
		return
	fi
	if ((EUID != 0)); then
		lack "missing: ${missing[*]}; run this as root to install them"
		return
	fi
	echo "setup: installing ${missing[*]}"
	keep_services_down
	# A machine that has just been made may be busy with its first upgrades.
	local apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
	export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
	if ! "${apt[@]}" update; then
		lack "the lists of packages cannot be read anew (apt-get update, see above)"
		return
	fi
	# Nothing of ours on its standard input: a package's script may read it.
	if ! "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >"$apt_log" 2>&1; then
		cat "$apt_log" >&2
		lack "apt-get cannot install ${missing[*]} (see above)"
		return
	fi
	local service
	for service in $(services "${missing[@]}"); do
		disable "$service"
	done
	start_services_again
	for pair in $(programs); do
		command -v "${pair%%:*}" >/dev/null || lack "the package ${pair##*:} is installed, but its program ${pair%%:*} is not there: reinstall it"
	done
}

# What Debian's packages ask before they start a service.
policy=/usr/sbin/policy-rc.d
kept_down=

# Forbids it, unless the machine's owner has rules of his own.
keep_services_down() {
	[[ -e $policy ]] && return
	kept_down=yes
	printf '#!/bin/sh\n# %s\nexit 101\n' "$policy_mark" >"$policy"
	chmod 755 "$policy"
}

policy_mark="made by baton's scripts/setup.sh; it is gone when that ends"

start_services_again() {
	if grep -qs "$policy_mark" "$policy"; then
		rm -f "$policy"
	fi
}

# A lab brings servers of its own: one that the system starts would only be in
# the way, now or after the next boot.
disable() {
	update-rc.d "$1" disable >/dev/null 2>&1 || true
	# Only where the owner's rules may have let it: some services say that they
	# run whatever is so.
	if [[ -z $kept_down ]] && service "$1" status >/dev/null 2>&1; then
		echo "setup: stopping $1, which the installation has started"
		service "$1" stop
	fi
	echo "setup: $1 came with a package; it is not started here (update-rc.d $1 enable; service $1 start)"
}

# --- MySQL --------------------------------------------------------------------

# Debian's MySQL, any version of it, where no other is named. `make test` goes on
# without it, and says so; it does not if BATON_REQUIRE names mysql.
unpack_mysql() {
	[[ $purpose == test || $flavor == mysql ]] || return 0
	[[ -n ${BATON_MYSQLD:-} ]] && return
	scripts/install-mysql.sh "$PWD/.cache/mysql" && return
	if [[ $flavor == mysql || " ${BATON_REQUIRE:-} " == *" mysql "* ]]; then
		lack "no MySQL can be had (see above): BATON_MYSQLD names the mysqld of another one"
	else
		echo "setup: NO MYSQL CAN BE HAD (see above): its tests will be skipped" >&2
	fi
}

# --- kernel -------------------------------------------------------------------

probe=baton-setup-$$
probing=

in_probe() { ip netns exec "$probe" "$@"; }

check_kernel() {
	[[ $purpose == build ]] && return
	if ((EUID != 0)); then
		lack "hosts are made from network namespaces: run it as root"
		return
	fi
	((${#lacking[@]} == 0)) || return 0 # the programs below may be missing
	if ! ip netns add "$probe" 2>/dev/null; then
		lack "the kernel, or this container, allows no network namespaces (CONFIG_NET_NS, CAP_SYS_ADMIN)"
		return
	fi
	probing=yes
	local said
	if ! said=$(in_probe ip link set lo up 2>&1); then
		lack "no program can be started in a network namespace (ip netns exec: ${said//$'\n'/ })"
		return
	fi
	if ! ip -n "$probe" link add p0 type veth peer name p1 2>/dev/null || ! ip -n "$probe" link add b0 type bridge 2>/dev/null; then
		lack "the kernel has no veth or no bridge (CONFIG_VETH, CONFIG_BRIDGE)"
	fi
	if ! in_probe nft -f - <<-'NFT' 2>/dev/null; then
		table inet probe {
			set lease { type inet_service; flags timeout; elements = { 3306 timeout 1s }; }
			chain in { type filter hook input priority 0; tcp dport @lease accept; tcp dport 3306 reject with tcp reset; }
		}
		table bridge probe { chain forward { type filter hook forward priority 0; }; }
	NFT
		lack "the kernel has no nftables with set timeouts, reject and bridge tables (CONFIG_NF_TABLES, NFT_REJECT, NF_TABLES_BRIDGE)"
	fi
	check_destroy
}

# Whether sockets can be destroyed: one is made, and ss says what it destroyed.
check_destroy() {
	local destroyed
	# shellcheck disable=SC2016 # perl's variables
	destroyed=$(in_probe perl -MIO::Socket::INET -e '
		$l = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1", LocalPort => 3306) or die;
		$c = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => 3306) or die;
		print `ss -HtnK dst 127.0.0.1 dport = 3306 2>/dev/null`;' 2>/dev/null || true)
	[[ -n $destroyed ]] || lack "the kernel cannot destroy sockets (CONFIG_INET_DIAG_DESTROY): clients of a fenced server would hang"
}

apt_log=$(mktemp)

clean_up() {
	start_services_again
	rm -f "$apt_log"
	[[ -z $probing ]] || ip netns del "$probe"
}
trap clean_up EXIT

case $purpose in
build | demo | test | bench) ;;
mysql)
	flavor=mysql
	unpack_mysql
	finish
	exit
	;;
*)
	echo "setup: unknown purpose $purpose; use build, demo, test, bench or mysql" >&2
	exit 2
	;;
esac
case $flavor in
mariadb | mysql) ;;
*)
	echo "setup: unknown flavor $flavor; use mariadb or mysql" >&2
	exit 2
	;;
esac
[[ $(uname -s) == Linux ]] || lack "Baton needs Linux, this is $(uname -s)"
check_go
install_missing
unpack_mysql
check_kernel
finish
echo "setup: ready for make $purpose"
