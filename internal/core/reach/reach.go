// Package reach answers for how long clients, and what lies between them and the
// servers, go on believing in a host that has lost the primary's role, from what was
// read of the nodes' hosts.
//
// It reads nothing itself; package vitals/hostnet and the agent do. The one rule: what
// was not read is said to be unknown, and a usual value is never shown as one that was
// measured.
package reach

import (
	"net/netip"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Host is what an agent has read of its host, at the moment it was asked.
type Host struct {
	Node cluster.NodeName `json:"node"`
	// Why says why nothing of it is known; empty: it was read.
	Why string `json:"why,omitempty"`

	Paths []Path `json:"paths,omitempty"` // one for each of the cluster's addresses
	// TCP are the kernel's settings of that name: tcp_keepalive_time and the like.
	TCP Settings `json:"tcp,omitempty"`
	// Conntrack are those of the connection tracking, nf_conntrack_…; nil if it is
	// not there.
	Conntrack Settings `json:"conntrack,omitempty"`
	Server    *Server  `json:"server,omitempty"`  // nil: a witness, or it did not answer
	Clients   *Clients `json:"clients,omitempty"` // nil: a witness, or they could not be listed
	Calls     []Calls  `json:"calls,omitempty"`   // of its endpoints
	// Missing is what could not be read, and why.
	Missing []string `json:"missing,omitempty"`
}

// Settings are values of the kernel by their last name. One that is not in it could
// not be read, or this kernel does not have it.
type Settings map[string]int64

// Path is how a host would get to one of the cluster's addresses.
type Path struct {
	Address netip.Addr `json:"address"`
	// Interface is where it has the address, or would send to get there.
	Interface string `json:"interface,omitempty"`
	Here      bool   `json:"here,omitempty"` // the address is on this host
	// Loopback says that the address is bound on lo; Interface is then that of the
	// node's own address, on which neighbours would ask for it.
	Loopback bool `json:"loopback,omitempty"`
	// Gateway is whom it would send to; none: it is the address's neighbour.
	Gateway netip.Addr `json:"gateway,omitzero"`
	// Entry is the state of its neighbour table's entry for the address; empty: none.
	Entry string `json:"entry,omitempty"`
	MAC   string `json:"mac,omitempty"`
	// Settings are those of that interface, each in the way in which the kernel puts
	// it together with conf/all: of IPv4 or of IPv6, as the address is.
	Settings Settings `json:"settings,omitempty"`
	// Why says why the path is not known.
	Why string `json:"why,omitempty"`
}

// Neighbour reports whether the host would ask for the address by itself.
func (p Path) Neighbour() bool {
	return p.Why == "" && !p.Here && !p.Gateway.IsValid() && p.Interface != "" && !p.Loopback
}

// Server is what a database server does about connections.
type Server struct {
	// The limits that it gives to connections, in seconds; nil: it has no such one.
	Wait        *int64 `json:"wait_timeout_s,omitempty"`
	Interactive *int64 `json:"interactive_timeout_s,omitempty"`
	NetRead     *int64 `json:"net_read_timeout_s,omitempty"`
	NetWrite    *int64 `json:"net_write_timeout_s,omitempty"`
	Connect     *int64 `json:"connect_timeout_s,omitempty"`
	BackLog     *int64 `json:"back_log,omitempty"`
	// Keepalive is when the server itself has its sockets ask, in seconds; 0: as the
	// kernel does; nil: it has no such setting.
	Keepalive *int64 `json:"tcp_keepalive_time_s,omitempty"`
	// AckWait is how long a commit waits for its acknowledgement on the average since
	// the server started, in microseconds; nil: it does not wait, or does not say.
	AckWait *int64 `json:"ack_wait_us,omitempty"`
}

// Clients is what the kernel of a server's host knows of the clients' connections.
type Clients struct {
	Connections int `json:"connections"`
	// Kept are those with a running keepalive timer, Busy those whose other timer
	// runs, so that it cannot be told, and Unwatched those with no timer at all: the
	// server does not find out by itself that such a client is gone.
	Kept      int `json:"kept"`
	Busy      int `json:"busy"`
	Unwatched int `json:"unwatched"`
	// Longest is the longest time that a keepalive timer has to go, in milliseconds.
	Longest int64 `json:"longest_ms"`
	// Heard is what was seen of the clients' own probes.
	Heard *Heard `json:"heard,omitempty"`
}

// Heard is what arrived on connections that nothing else was said on.
type Heard struct {
	// Over is for how long it has been listened, in milliseconds.
	Over int64 `json:"over_ms"`
	// Idle are connections that said nothing between two looks, Probed those of them
	// whose client asked meanwhile whether the server is there.
	Idle   int `json:"idle"`
	Probed int `json:"probed"`
	// Every is the longest time between two probes that was seen, in milliseconds, no
	// finer than the looks; 0: none was seen twice.
	Every int64 `json:"every_ms,omitempty"`
}

// Calls is how long the calls of one endpoint have taken since its agent started.
type Calls struct {
	Endpoint string       `json:"endpoint"`
	Kind     string       `json:"kind"`
	Set      Distribution `json:"set"`
	Observe  Distribution `json:"observe"`
}

// Distribution is how long something took, many times.
type Distribution struct {
	Count  int64 `json:"count"`
	Failed int64 `json:"failed,omitempty"` // of them; how long those took counts, too
	Median int64 `json:"median_us"`        // in microseconds, within 10 %
	Worst  int64 `json:"worst_us"`
	Sum    int64 `json:"sum_us"`
}

// Stale is for how long a host goes on with an entry of its neighbour table that is
// wrong, while it talks to it, if nobody tells it otherwise: a Linux host takes an
// entry for good for between half and one and a half of base_reachable_time, then
// waits delay_first_probe_time, and asks ucast_solicit times, every retrans_time,
// before it asks everybody. RFC 4861, sections 6.3.2 and 7.3.3.
func Stale(s Settings) (least, most time.Duration, known bool) {
	base, ok1 := s["base_reachable_time_ms"]
	first, ok2 := s["delay_first_probe_time"]
	asks, ok3 := s["ucast_solicit"]
	apart, ok4 := s["retrans_time_ms"]
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return 0, 0, false
	}
	rest := time.Duration(first)*time.Second + time.Duration(asks*apart)*time.Millisecond
	return time.Duration(base/2)*time.Millisecond + rest, time.Duration(base*3/2)*time.Millisecond + rest, true
}

// Heeds reports whether a host takes over at once what a gratuitous ARP or an
// unsolicited neighbour advertisement says of an entry that it has.
func Heeds(s Settings, v6 bool) (heeds, known bool) {
	name := "drop_gratuitous_arp"
	if v6 {
		name = "drop_unsolicited_na"
	}
	drops, known := s[name]
	return drops == 0, known
}

// KeepaliveEnds is after how long an idle connection with SO_KEEPALIVE ends whose
// other side is gone, by the kernel's settings.
func KeepaliveEnds(s Settings) (time.Duration, bool) {
	idle, ok1 := s["tcp_keepalive_time"]
	apart, ok2 := s["tcp_keepalive_intvl"]
	probes, ok3 := s["tcp_keepalive_probes"]
	return time.Duration(idle+apart*probes) * time.Second, ok1 && ok2 && ok3
}

// How Linux spaces what it sends again: from the shortest time to the longest, each
// twice the one before (TCP_RTO_MIN and TCP_RTO_MAX of include/net/tcp.h).
const (
	rtoLeast = 200 * time.Millisecond
	rtoMost  = 120 * time.Second
)

// RetriesEnd is after how long, at the least, a connection ends that has sent something and gets no
// answer: tcp_retries2, as ip-sysctl.rst of the kernel reckons.
func RetriesEnd(s Settings) (time.Duration, bool) {
	n, ok := s["tcp_retries2"]
	if !ok || n < 0 {
		return 0, false
	}
	var all time.Duration
	wait := rtoLeast
	for range min(n, 1000) + 1 {
		all += min(wait, rtoMost)
		wait = min(2*wait, rtoMost)
	}
	return all, true
}
