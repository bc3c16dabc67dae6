package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// BGP is a speaker inside the agent of every data node, which announces the addresses on
// loopback to the host's routers.
type BGP struct {
	AS          int         `key:"as"`
	RouterID    netip.Addr  `key:"router_id"`
	Listen      int         `key:"listen"`
	NextHops    []string    `key:"next_hops"`
	Communities []string    `key:"communities"`
	LocalPref   int         `key:"local_pref"`
	Neighbors   []BGPRouter `key:"neighbors"`
}

// BGPRouter is one of the host's routers.
type BGPRouter struct {
	Address       netip.Addr    `key:"address"`
	AS            int           `key:"as"`
	Port          int           `key:"port"`
	LocalAddress  netip.Addr    `key:"local_address"`
	PasswordFile  string        `key:"password_file"`
	Hops          int           `key:"hops"`
	TTLSecurity   bool          `key:"ttl_security"`
	HoldTime      time.Duration `key:"hold_time"`
	BFD           time.Duration `key:"bfd"`
	BFDMultiplier int           `key:"bfd_multiplier"`
}

func bgpKeys() []Key {
	const block, router = "endpoints[].bgp", "endpoints[].bgp.neighbors[]"
	return []Key{
		key(block+".as", Integer).between("0", "4294967295").same().like("65001").
			doc("A BGP speaker inside the agent announces the addresses on lo, as /32 and /128, to the routers of neighbors:, for as long as this host has them: the AS number of the data nodes. The metric (MED) of an announcement is 4000000000 less the epoch, so that routers take the newer one of two."),
		key(block+".router_id", IP).like("10.77.0.11").
			doc("The speaker's identifier, written as an IPv4 address, another one on every node. Empty: the node's own address, if that is one."),
		key(block+".listen", Integer).byDefault("0").between("0", "65535").same().
			doc("A port on which the routers may connect, such as 179. 0: none; the speaker connects to them."),
		key(block+".next_hops", Words).like("[\"fd77::11\"]").
			doc("Where the routers send what is for the addresses, at most one of each family. Empty: to this host's own address in the session, which has to be of the family of the announced one."),
		key(block+".communities", Words).same().like("[\"65001:50\", \"65001:1:2\"]").
			doc("Communities, and large ones, of the announcements. A host that is about to lose an address adds 65535:0 (graceful shutdown) by itself."),
		key(block+".local_pref", Integer).byDefault("0").between("0", "4294967295").same().
			doc("The preference that neighbours of the same AS are told. 0: 100, as usual."),
		key(block+".neighbors", Block).same().
			doc("The routers. One that has been told is enough to lead clients; each that has no session, or whose BFD is down, is reported."),
		key(router+".address", IP).required("give the address of the router").same().like("10.77.0.1").
			doc("The router's address."),
		key(router+".as", Integer).required("give the AS number of the router").between("1", "4294967295").same().like("65000").
			doc("Its AS number."),
		key(router+".port", Integer).byDefault("179").between("1", "65535").same().
			doc("The port at which it listens."),
		key(router+".local_address", IP).like("10.77.0.11").
			doc("This host's address in the session. Empty: the one with which it reaches the router."),
		key(router+".password_file", File).
			doc("The file that holds the password of the session (TCP MD5, RFC 2385). Empty: none."),
		key(router+".hops", Integer).byDefault("0").between("0", "254").same().
			doc("The most other routers that may be between this host and that one."),
		key(router+".ttl_security", YesNo).byDefault("false").same().
			doc("Both ends refuse what comes from further away than hops: (GTSM, RFC 5082). The router has to have it, too."),
		key(router+".hold_time", Duration).byDefault("9s").between("3s", "18h").same().
			doc("Whole seconds. A session over which nothing has come for so long is over; three keepalives are sent in that time. The lower one of both ends counts. It is the backstop where there is no BFD."),
		key(router+".bfd", Duration).byDefault("0s").between("0s", "10s").same().like("50ms").
			doc("How often BFD packets are sent and expected (RFC 5880, single hop); the slower one of both ends counts. 0s: no BFD. No other BFD, such as FRR's bfdd, may run on the host then."),
		key(router+".bfd_multiplier", Integer).byDefault("3").between("1", "255").same().
			doc("How many of them in a row may be missing."),
	}
}

// maxSessionPassword is the most that TCP MD5 takes.
const maxSessionPassword = 80

// neighborPasswords are those of every endpoint's neighbours.
func (c *Config) neighborPasswords() (all [][]Secret, found Findings) {
	all = make([][]Secret, len(c.Endpoints))
	for i, e := range c.Endpoints {
		if c.KindOf(i) != "bgp" || !c.LeadsEndpoint(i) {
			continue
		}
		for j, n := range e.BGP.Neighbors {
			path := at(at("endpoints", i, "bgp.neighbors"), j, "password_file")
			text := ""
			if n.PasswordFile != "" {
				var what, mend string
				text, what, mend = readPassword(n.PasswordFile)
				if len(text) > maxSessionPassword {
					what, mend = fmt.Sprintf("%s holds %d characters", n.PasswordFile, len(text)), fmt.Sprintf("use up to %d: TCP MD5 takes no more", maxSessionPassword)
				}
				if what != "" {
					found = append(found, c.finding(path, what, mend))
				}
			}
			all[i] = append(all[i], NewSecret(text))
		}
	}
	return all, found
}

// RouterIDOf is this node's.
func (c *Config) RouterIDOf(b BGP) netip.Addr {
	if b.RouterID.IsValid() {
		return b.RouterID
	}
	if own, ok := c.NodeNamed(c.Node); ok {
		return own.Address
	}
	return netip.Addr{}
}

// Hops are the next hops.
func (b BGP) Hops() []netip.Addr {
	var all []netip.Addr
	for _, text := range b.NextHops {
		if a, err := netip.ParseAddr(text); err == nil {
			all = append(all, a)
		}
	}
	return all
}

// Tagged are the communities, usual and large ones.
func (b BGP) Tagged() (usual []uint32, large [][3]uint32) {
	for _, text := range b.Communities {
		switch n, _ := community(text); len(n) {
		case 2:
			usual = append(usual, n[0]<<16|n[1])
		case 3:
			large = append(large, [3]uint32(n))
		}
	}
	return usual, large
}

// community takes one apart: two numbers of 16 bits, or three of 32.
func community(text string) ([]uint32, bool) {
	parts := strings.Split(text, ":")
	bits := 16
	if len(parts) == 3 {
		bits = 32
	}
	var all []uint32
	for _, p := range parts {
		n, err := strconv.ParseUint(p, 10, bits)
		if err != nil {
			return nil, false
		}
		all = append(all, uint32(n))
	}
	return all, len(all) == 2 || len(all) == 3
}

func (l *loader) judgeBGP(block string, endpoint Endpoint) {
	b := endpoint.BGP
	routed := l.cfg.RoutedAddresses()
	if len(routed) == 0 {
		l.report(block, "announces the addresses on lo, and there is none", "add one to addresses:, such as {address: 10.99.0.50, interface: lo}")
	}
	for i := range l.cfg.Endpoints {
		if other := at("endpoints", i, "bgp"); l.said(other) {
			if other != block {
				l.report(block, "a host has one BGP speaker, and "+other+" is it", "add its neighbours there")
			}
			break
		}
	}
	if b.AS == 0 {
		l.report(block+".as", "is missing", "give the AS number of the data nodes, such as 65001")
	}
	if id := l.cfg.RouterIDOf(b); !id.Is4() || id.IsUnspecified() {
		l.report(block+".router_id", fmt.Sprintf("%s is no router ID", id), "write one like an IPv4 address, another one on every node")
	}
	for i, text := range b.NextHops {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			l.report(at(block+".next_hops", i, ""), fmt.Sprintf("%q is no address", text), "write this host's address, such as 10.77.0.11")
		} else if slices.ContainsFunc(b.Hops()[:i], func(h netip.Addr) bool { return h.Is4() == a.Is4() }) {
			l.report(at(block+".next_hops", i, ""), text+" is the second of its family", "write one of each family at most")
		}
	}
	for i, text := range b.Communities {
		if _, ok := community(text); !ok {
			l.report(at(block+".communities", i, ""), fmt.Sprintf("%q is no community", text), "write it as 65001:50, or as 65001:1:2 if it is a large one")
		}
	}
	l.judgeRouters(block, b)
	for _, a := range routed {
		if len(b.Neighbors) > 0 && !slices.ContainsFunc(b.Neighbors, func(n BGPRouter) bool { return n.Address.Is4() == a.Is4() }) &&
			!slices.ContainsFunc(b.Hops(), func(h netip.Addr) bool { return h.Is4() == a.Is4() }) {
			l.report(block+".neighbors", fmt.Sprintf("nobody can be told of %s", a), "add a neighbour with an address of that family, or this host's to next_hops:")
		}
	}
}

func (l *loader) judgeRouters(block string, b BGP) {
	if len(b.Neighbors) == 0 {
		l.report(block+".neighbors", "is missing", "name the routers: {address: 10.77.0.1, as: 65000}")
	}
	seen := map[string]int{}
	inside := false
	for i, n := range b.Neighbors {
		path := at(block+".neighbors", i, "")
		if n.Address.IsValid() {
			l.once(seen, path+".address", n.Address.String(), "name every router once")
			if n.Address.Zone() != "" || n.Address.IsLinkLocalUnicast() {
				l.report(path+".address", n.Address.String()+" is link-local", "use another address of the router's")
			}
		}
		if n.LocalAddress.IsValid() && n.LocalAddress.Is4() != n.Address.Is4() {
			l.report(path+".local_address", fmt.Sprintf("%s and %s are of two families", n.LocalAddress, n.Address), "use addresses of one")
		}
		inside = inside || n.AS == b.AS
		if n.HoldTime%time.Second != 0 {
			l.report(path+".hold_time", fmt.Sprintf("%s are no whole seconds", n.HoldTime), "write whole seconds")
		}
		if n.BFD > 0 && n.Hops > 0 {
			l.report(path+".bfd", "BFD goes over a single hop, and hops: allows more", "remove one of them")
		}
		if n.BFD > 0 && n.BFD < 10*time.Millisecond {
			l.report(path+".bfd", fmt.Sprintf("%s is shorter than any host is punctual", n.BFD), "write 10ms or more; 50ms where the agent runs under real-time priority")
		}
	}
	if b.LocalPref > 0 && len(b.Neighbors) > 0 && !inside {
		l.report(block+".local_pref", "is told to neighbours of the same AS only, and there is none", "remove it; routers of another AS go by communities and the metric")
	}
}
