package config

import (
	"cmp"
	"fmt"
	"net"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
)

// judgeServers judges the common server block, and each node's own.
func (l *loader) judgeServers() {
	l.judgeServer("server", l.cfg.Server)
	for i, n := range l.cfg.Nodes {
		if n.Server == nil {
			continue
		}
		own := at("nodes", i, "server")
		l.judgeServer(own, *n.Server)
		if n.Server.Flavor != l.cfg.Server.Flavor {
			l.report(own+".flavor", fmt.Sprintf("%s does not replicate with the %s of the other nodes", n.Server.Flavor, l.cfg.Server.Flavor), "use one flavor in a cluster")
		}
	}
}

func (l *loader) judgeServer(block string, s Server) {
	// A key that a node's own block does not say was judged with the common one.
	mine := func(keys ...string) bool {
		if block == "server" {
			return true
		}
		for _, k := range keys {
			if l.said(block + "." + k) {
				return true
			}
		}
		return false
	}
	if !l.cfg.Store.External() && s.Port == l.cfg.Store.PeerPort && mine("port") {
		l.report(block+".port", fmt.Sprintf("the embedded store uses %d too", s.Port), "change it, or store.peer_port")
	}
	if l.cfg.HasLink() && s.Port == l.cfg.PeerLink.Port && mine("port") {
		l.report(block+".port", fmt.Sprintf("the agents use %d among themselves", s.Port), "change it, or peer.port")
	}
	for _, a := range []struct{ key, user, file string }{
		{"replication", s.Replication.User, s.Replication.PasswordFile},
		{"probe", s.Probe.User, s.Probe.PasswordFile},
	} {
		if !mine(a.key+".user", a.key+".password_file") {
			continue
		}
		if a.user == "" {
			l.report(block+"."+a.key+".user", "has no name", "name the account, such as baton_"+a.key)
		}
		if a.file == "" {
			l.report(block+"."+a.key+".password_file", fmt.Sprintf("%s connects over the network and needs a password", a.user), "write it into a file that only root may read, and name that file here")
		}
	}
	if s.User == "" && mine("user") {
		l.report(block+".user", "has no name", "name the account, such as baton")
	}
	if (s.User == s.Replication.User || s.User == s.Probe.User) && s.User != "" && mine("user", "replication.user", "probe.user") {
		l.warn(block+".user", fmt.Sprintf("%s may do everything, and connects from other hosts too", s.User), "use an account of its own for replication and for probes")
	}
	if s.Replication.CA != "" && !s.Replication.TLS && mine("replication.ca", "replication.tls") {
		l.report(block+".replication.ca", "is for encrypted replication, and that is off", "add tls: true, or remove it")
	}
	if s.Writer.User == s.User && s.User != "" && mine("writer.user", "user") {
		l.report(block+".writer.user", fmt.Sprintf("%s may write on a read-only server, and the write probe must not", s.User), "use another account, such as the one of probes")
	}
	if mine("start") {
		l.judgeWords(block+".start", s.Start)
	}
}

func (l *loader) judgeAddresses() {
	seen, macs := map[string]int{}, map[string]int{}
	l.judgeVirtual("addresses", l.cfg.Addresses, seen, macs)
	for i, a := range l.cfg.Addresses {
		if a.Interface == onLoopback && !l.cfg.announces() {
			l.warn(at("addresses", i, "interface"), "nobody outside this host sees an address on lo unless routers are told of it", "add an endpoint with a block bgp, frr or route, or announce it yourself and only while it is there")
		}
	}
	l.judgeReaders(seen, macs)
	for i, t := range l.cfg.Detection.Track {
		l.judgeInterface(at("detection.track", i, "interface"), t.Interface)
		if t.Interface == onLoopback {
			l.report(at("detection.track", i, "interface"), "lo never loses its carrier", "name the interface of the clients' network")
		}
	}
}

// judgeVirtual judges a list of virtual addresses, each by itself and beside those before.
func (l *loader) judgeVirtual(list string, all []Address, seen, macs map[string]int) {
	for i, a := range all {
		path := at(list, i, "address")
		if a.Address.IsValid() {
			l.once(seen, path, a.Address.String(), "name every address once")
		}
		switch {
		case !a.Address.IsValid():
		case a.Address.IsUnspecified(), a.Address.IsMulticast(), a.Address.IsLoopback(), a.Address.IsLinkLocalUnicast():
			l.report(path, fmt.Sprintf("%s cannot lead clients to a host", a.Address), "use a free address of the clients' network")
		}
		for _, n := range l.cfg.Nodes {
			if n.Address == a.Address && a.Address.IsValid() {
				l.report(path, fmt.Sprintf("%s is %s's own address", a.Address, n.Name), "use a free address of the same network: this one moves from host to host")
			}
		}
		l.judgeInterface(at(list, i, "interface"), a.Interface)
		l.judgeMAC(macs, at(list, i, "mac"), a)
	}
}

// announces reports whether something tells routers of the addresses on loopback.
func (c *Config) announces() bool {
	for i := range c.Endpoints {
		if kind := c.KindOf(i); kind == "frr" || kind == "bgp" || kind == "route" {
			return true
		}
	}
	return false
}

// judgeMAC: one that moves from host to host is nobody's own, by the bits of its first
// byte (IEEE 802: locally administered, and of one receiver).
func (l *loader) judgeMAC(seen map[string]int, path string, a Address) {
	if a.MAC == "" {
		return
	}
	if a.Interface == onLoopback {
		l.report(path, "there are no link-layer addresses on lo", "remove it: routers lead to this address")
		return
	}
	if a.MAC == AutoMAC {
		return
	}
	mac, err := net.ParseMAC(a.MAC)
	switch {
	case err != nil || len(mac) != 6:
		l.report(path, fmt.Sprintf("%q is no link-layer address", a.MAC), "write auto, or one like 02:00:5e:10:00:01")
	case mac[0]&0x01 != 0:
		l.report(path, a.MAC+" is a group's, not a host's", "write auto, or one whose second digit is 2, 6, a or e")
	case mac[0]&0x02 == 0:
		l.report(path, a.MAC+" belongs to a maker of network cards, or to VRRP", "write auto, or one whose second digit is 2, 6, a or e")
	default:
		l.once(seen, path, mac.String(), "give every address its own, or auto")
	}
}

// judgeInterface: names of interfaces have at most 15 bytes (IFNAMSIZ).
func (l *loader) judgeInterface(path, name string) {
	switch {
	case name == "":
	case len(name) > 15 || strings.ContainsAny(name, "/ \t:"):
		l.report(path, fmt.Sprintf("%q is no name of an interface", name), "use one that `ip link` shows")
	}
}

func (l *loader) judgeDurability() {
	c, d := l.cfg, l.cfg.Durability
	replicas := -1
	for _, n := range c.Nodes {
		if n.Role == cluster.Data {
			replicas++
		}
	}
	if d.Mode == cluster.Async {
		for _, key := range []string{"acks", "alone"} {
			if path := "durability." + key; l.said(path) {
				l.warn(path, "has no meaning in mode async", "remove it, or use mode: lossless")
			}
		}
		return
	}
	switch {
	case d.Acks > 1 && c.Server.Flavor == MariaDB:
		l.report("durability.acks", fmt.Sprintf("MariaDB waits for one replica, not for %d", d.Acks), "write acks: 1")
	case d.Acks > replicas && replicas > 0:
		l.report("durability.acks", fmt.Sprintf("%d data nodes leave %d to acknowledge", replicas+1, replicas), fmt.Sprintf("write at most %d", replicas))
	}
	l.judgeAlone(cmp.Compare(replicas, 1))
}

// judgeAlone warns of a cluster that stops when its only replica is restarted.
func (l *loader) judgeAlone(replicas int) {
	if l.cfg.Durability.Alone == cluster.AloneWait && replicas == 0 {
		l.warn("durability.alone", "with one replica, every commit waits while that replica is away", "use continue, or add a data node")
	}
}
