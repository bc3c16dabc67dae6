#!/usr/bin/env bash
# Makes a machine ready for `make demo`, `make test` or `make bench`: installs
# exactly the packages that are missing and checks what cannot be installed.
# It changes nothing else: a database server that an installation started is
# stopped again, one that ran before is left alone.
#
#   scripts/setup.sh build | demo | test | bench
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:-demo}
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
		lack "no Go: install Go $want or newer, see https://go.dev/doc/install"
		return
	fi
	have=$(go env GOVERSION)
	have=${have#go}
	if [[ $(printf '%s\n%s\n' "$want" "${have%%[- ]*}" | sort -V | head -n1) != "$want" ]]; then
		lack "Go $have is too old: go.mod asks for $want, see https://go.dev/doc/install"
	fi
}

# --- packages -----------------------------------------------------------------

# program:package, for each purpose.
programs() {
	[[ $purpose == build ]] && return
	echo ip:iproute2 ss:iproute2 nft:nftables mariadbd:mariadb-server mariadb-install-db:mariadb-server sysctl:procps flock:util-linux
	case $purpose in
	test) echo keepalived:keepalived gcc:gcc perl:perl-base ;;
	bench) echo keepalived:keepalived ;;
	esac
}

# Programs for administrators are not on everybody's PATH.
export PATH=$PATH:/usr/sbin:/sbin

install_missing() {
	local pair missing=() service running=()
	for pair in $(programs); do
		command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
	done
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
	[[ " ${missing[*]} " == *" gcc "* ]] && missing+=(libc6-dev)
	for service in mariadb keepalived; do
		service "$service" status >/dev/null 2>&1 && running+=("$service")
	done
	echo "setup: installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
	for service in mariadb keepalived; do
		if [[ " ${running[*]-} " != *" $service "* ]] && service "$service" status >/dev/null 2>&1; then
			echo "setup: stopping $service, which the installation has started; a lab brings its own"
			service "$service" stop
		fi
	done
}

# --- kernel -------------------------------------------------------------------

probe=baton-setup-$$

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
	trap 'ip netns del "$probe"' EXIT
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
	in_probe ip link set lo up
	local destroyed
	# shellcheck disable=SC2016 # perl's variables
	destroyed=$(in_probe perl -MIO::Socket::INET -e '
		$l = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1", LocalPort => 3306) or die;
		$c = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => 3306) or die;
		print `ss -HtnK dst 127.0.0.1 dport = 3306 2>/dev/null`;' 2>/dev/null || true)
	[[ -n $destroyed ]] || lack "the kernel cannot destroy sockets (CONFIG_INET_DIAG_DESTROY): clients of a fenced server would hang"
}

case $purpose in
build | demo | test | bench) ;;
*)
	echo "setup: unknown purpose $purpose; use build, demo, test or bench" >&2
	exit 2
	;;
esac
[[ $(uname -s) == Linux ]] || lack "Baton needs Linux, this is $(uname -s)"
check_go
install_missing
check_kernel
finish
echo "setup: ready for make $purpose"
