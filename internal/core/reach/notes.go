package reach

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Note is one setting of a host and what it means when the primary moves.
type Note struct {
	Node    cluster.NodeName `json:"node"`
	Setting string           `json:"setting"` // its whole name
	Value   string           `json:"value"`
	Means   string           `json:"means"`
	// Mend is what would be better; empty: nothing.
	Mend string `json:"mend,omitempty"`
}

// Notes says what the settings of a host mean for a move, one after the other.
func Notes(h Host) []Note {
	var all []Note
	seen := map[string]bool{}
	for _, p := range h.Paths {
		family := "ipv4"
		if p.Address.Is6() {
			family = "ipv6"
		}
		if p.Interface == "" || seen[family+p.Interface] {
			continue // two addresses on one interface
		}
		seen[family+p.Interface] = true
		for _, name := range slices.Sorted(maps.Keys(p.Settings)) {
			means, mend := ofInterface(p, name, p.Settings[name])
			if means == "" {
				continue
			}
			of := "conf"
			if neighbourTable(name) {
				of = "neigh"
			}
			all = append(all, Note{Node: h.Node, Setting: fmt.Sprintf("net.%s.%s.%s.%s", family, of, p.Interface, name), Value: fmt.Sprint(p.Settings[name]), Means: means, Mend: mend})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.TCP)) {
		if means, mend := ofTCP(h.TCP, name); means != "" {
			all = append(all, Note{Node: h.Node, Setting: "net.ipv4." + name, Value: fmt.Sprint(h.TCP[name]), Means: means, Mend: mend})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.Conntrack)) {
		if means, mend := ofConntrack(h, name); means != "" {
			all = append(all, Note{Node: h.Node, Setting: "net.netfilter." + name, Value: fmt.Sprint(h.Conntrack[name]), Means: means, Mend: mend})
		}
	}
	return append(all, ofServer(h)...)
}

// neighbourTable reports whether a setting is one of the neighbour table's.
func neighbourTable(name string) bool {
	switch name {
	case "base_reachable_time_ms", "delay_first_probe_time", "ucast_solicit", "retrans_time_ms", "gc_stale_time", "locktime":
		return true
	}
	return false
}

// NeighbourNames are the settings of the neighbour table that matter for a move.
func NeighbourNames() []string {
	return []string{"base_reachable_time_ms", "delay_first_probe_time", "gc_stale_time", "locktime", "retrans_time_ms", "ucast_solicit"}
}

// ofInterface says what a setting of an interface means. What a host does as the
// address's owner and what it does as its neighbour are different things; every data
// node is both in turn.
func ofInterface(p Path, name string, v int64) (means, mend string) {
	switch name {
	case "arp_accept":
		if v == 0 {
			return "as a neighbour, an announcement changes an entry that it has, and makes none that it has not: nothing is lost, it asks when it needs one", ""
		}
		return "as a neighbour, an announcement also makes an entry that was not there: it need not ask", ""
	case "drop_gratuitous_arp":
		if v != 0 {
			return "as a neighbour, it ignores the announcements of a new primary: it goes on with the old one's link-layer address for " + staleText(p.Settings), "set it to 0"
		}
		return "as a neighbour, it heeds announcements", ""
	case "drop_unsolicited_na":
		if v != 0 {
			return "as a neighbour, it ignores the advertisements of a new primary: it goes on with the old one's link-layer address for " + staleText(p.Settings), "set it to 0"
		}
		return "as a neighbour, it heeds advertisements", ""
	case "arp_announce":
		if v < 2 {
			return "what it asks for itself from the address says \"tell the address\": a late one of an old primary leads its neighbours back to it", "set it to 2"
		}
		return "what it asks for itself names its own address, never the one that moves", ""
	case "arp_ignore":
		switch {
		case v == 8:
			return "it answers nobody who asks for its addresses", "set it to at most 2: nobody finds the address here"
		case p.Loopback && v == 0:
			return "it answers here for the address on lo: neighbours may learn a way past the router, which no route takes back", "set it to 1, if only routers are to lead there"
		case p.Loopback:
			return "it does not answer here for the address on lo: only routers lead there", ""
		case v == 0:
			return "it answers for the address on every interface: where two of them are in one network, neighbours may learn the wrong one", ""
		}
		return "it answers for the address on its own interface", ""
	case "arp_notify":
		return "the kernel announces nothing when an address is added, whatever this says: Baton does, and repeats it", ""
	case "ndisc_notify":
		return "the kernel announces nothing when an address is added without duplicate detection, whatever this says: Baton does", ""
	case "rp_filter":
		switch v {
		case 0:
			return "packets are taken on any interface", ""
		case 1:
			return "strict: a client whose packets come in on another interface than the answer would leave by is not heard", "set it to 2 where there are two uplinks or a service network"
		}
		return "loose: packets are taken if there is any way back", ""
	case "promote_secondaries":
		return "Baton's addresses are /32 and do not depend on it", ""
	}
	return ofNeighbourTable(p, name, v)
}

func ofNeighbourTable(p Path, name string, v int64) (means, mend string) {
	switch name {
	case "base_reachable_time_ms":
		if least, most, known := Stale(p.Settings); known {
			return fmt.Sprintf("as a neighbour that no announcement reaches, it would find out by itself after %s to %s", least.Round(time.Second), most.Round(time.Second)), ""
		}
	case "gc_stale_time":
		return fmt.Sprintf("an entry that nobody uses may be forgotten after %ds; until then it is checked when it is used", v), ""
	case "locktime":
		if !p.Address.Is6() && v > 0 {
			return fmt.Sprintf("an entry that changed less than %s ago heeds an announcement only if it is a request, or a reply to the sender itself: Baton sends both", time.Duration(v)*time.Second/100), ""
		}
	}
	return "", ""
}

func staleText(s Settings) string {
	least, most, known := Stale(s)
	if !known {
		return "a time that is not known"
	}
	return fmt.Sprintf("%s to %s", least.Round(time.Second), most.Round(time.Second))
}

func ofTCP(s Settings, name string) (means, mend string) {
	switch name {
	case "tcp_keepalive_time":
		if ends, ok := KeepaliveEnds(s); ok {
			return fmt.Sprintf("an idle connection that asks at all (SO_KEEPALIVE) and has not set its own times ends %s after the other side is gone", ends), ""
		}
	case "tcp_retries2":
		if ends, ok := RetriesEnd(s); ok {
			return fmt.Sprintf("a connection that has sent something to a host that is gone ends after %s at the least, if no reset reaches it and it has not set TCP_USER_TIMEOUT, which nobody but its program can see", ends.Round(time.Second)), ""
		}
	case "tcp_syn_retries":
		return "a connect that meets silence is tried again after 1, 3, 7 … seconds; one that meets the gate is refused at once", ""
	}
	return "", ""
}

func ofConntrack(h Host, name string) (means, mend string) {
	v := h.Conntrack[name]
	switch name {
	case "nf_conntrack_tcp_timeout_established":
		means = fmt.Sprintf("this host's own firewall forgets an idle connection after %s: what comes later is not taken for part of it", time.Duration(v)*time.Second)
		if idle, ok := h.TCP["tcp_keepalive_time"]; ok && v < idle {
			return means, fmt.Sprintf("set it above tcp_keepalive_time (%ds), or pooled connections hang without a switch", idle)
		}
		return means, ""
	case "nf_conntrack_tcp_timeout_unacknowledged":
		return fmt.Sprintf("a connection with something unanswered is forgotten after %s", time.Duration(v)*time.Second), ""
	case "nf_conntrack_tcp_be_liberal":
		if v == 0 {
			return "out-of-window segments count as invalid: of the packets of a tickle one passes all the same", ""
		}
		return "out-of-window segments pass", ""
	case "nf_conntrack_tcp_loose":
		if v == 0 {
			return "connections that were begun elsewhere are invalid here: where the firewall drops those, the answer to a tickle does not arrive", "set it to 1 if the firewall drops what is invalid"
		}
		return "connections that were begun elsewhere are taken up: the answer to a tickle arrives", ""
	}
	return "", ""
}
