package config

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// DNS is the zone that every node answers for.
type DNS struct {
	Zone        string        `key:"zone"`
	Listen      []string      `key:"listen"`
	Primary     string        `key:"primary"`
	Replicas    string        `key:"replicas"`
	MaxLag      time.Duration `key:"max_lag"`
	NoReplica   string        `key:"no_replica"`
	TTL         time.Duration `key:"ttl"`
	Stale       time.Duration `key:"stale"`
	NameServers []string      `key:"name_servers"`
	Secondaries []string      `key:"secondaries"`
}

// What the replicas' name leads to while no replica is well.
const (
	ToPrimary = "primary"
	ToNobody  = "nobody"
)

func dnsKeys() []Key {
	return []Key{
		key("dns.zone", Text).like("shop.db.example.org").
			doc("A DNS zone that every node answers for by itself, from what it knows of the cluster: delegate it to the nodes, or have your resolvers ask them for it. Empty: none. Write all of this block alike on every node, but for listen."),
		key("dns.listen", Words).like(`["10.77.0.11:53"]`).
			doc("Addresses with ports on which this node answers, by UDP and TCP. Empty: its own address, port 53."),
		key("dns.primary", Text).byDefault("primary").
			doc("The name in the zone that leads to the primary. Below it, _mysql._tcp has the port (SRV)."),
		key("dns.replicas", Text).byDefault("replicas").
			doc("The name in the zone that leads to the replicas that are well."),
		key("dns.max_lag", Duration).byDefault("10s").between("1s", "24h").
			doc("A replica that is further behind than that is not among them. It is no finer than timing.beat."),
		choice("dns.no_replica", "place to lead readers to", ToPrimary, ToNobody).byDefault(ToPrimary).
			doc("Where the replicas' name leads while no replica is well."),
		key("dns.ttl", Duration).byDefault("1s").between("0s", "1h").
			doc("For how long resolvers may keep what they were told."),
		key("dns.stale", Duration).byDefault("1m").between("1s", "24h").
			doc("For how long this node answers from what it knew when it last heard the store. After that it fails (SERVFAIL), and resolvers ask another node."),
		key("dns.name_servers", Words).like("[ns1.example.org]").
			doc("The names of the zone's name servers, as the zone above delegates it. Empty: the nodes, by their names in the zone."),
		key("dns.secondaries", Words).like("[10.0.0.53]").
			doc("Name servers that may transfer the zone (AXFR), by address, with a port if it is not 53. They are told of every change (NOTIFY)."),
	}
}

// DNSListen are the addresses on which this node answers DNS; none if it does not.
func (c *Config) DNSListen() []string {
	switch {
	case c.DNS.Zone == "":
		return nil
	case len(c.DNS.Listen) == 0:
		return []string{netip.AddrPortFrom(c.Self().Address, 53).String()}
	}
	return c.DNS.Listen
}

func (l *loader) judgeDNS() {
	d := l.cfg.DNS
	if d.Zone == "" {
		for _, key := range []string{"listen", "name_servers", "secondaries"} {
			if path := "dns." + key; l.said(path) {
				l.report(path, "there is no zone to answer for", "add dns.zone, or remove it")
			}
		}
		return
	}
	l.judgeDNSWord("dns.zone", d.Zone, l.cfg.Cluster+".db.example.org")
	l.judgeDNSLabel("dns.primary", d.Primary)
	l.judgeDNSLabel("dns.replicas", d.Replicas)
	if strings.EqualFold(d.Primary, d.Replicas) {
		l.report("dns.replicas", fmt.Sprintf("%s is the primary's name", d.Replicas), "use another one")
	}
	if d.TTL%time.Second != 0 {
		l.report("dns.ttl", fmt.Sprintf("%s is no whole number of seconds, as DNS has them", shortDuration(d.TTL)), fmt.Sprintf("write %s", shortDuration(d.TTL.Truncate(time.Second)+time.Second)))
	}
	seen := map[string]int{}
	for i, address := range l.cfg.HTTP.Listen {
		seen[address] = l.cfg.where(at("http.listen", i, ""))
	}
	for i, address := range d.Listen {
		path := at("dns.listen", i, "")
		l.once(seen, path, address, "name every address once")
		if on, err := netip.ParseAddrPort(address); err != nil || on.Port() == 0 {
			l.report(path, fmt.Sprintf("%q is no address with a port", address), `write it like 10.77.0.11:53, "[fd77::11]:53", or 0.0.0.0:53 for all of this host's`)
		} else {
			l.judgePort(path, on.Port())
		}
	}
	for i, name := range d.NameServers {
		l.judgeDNSWord(at("dns.name_servers", i, ""), name, "ns1.example.org")
	}
	l.judgeDNSServers("dns.secondaries", d.Secondaries)
}

// judgeDNSLabel: one label, which no node has.
func (l *loader) judgeDNSLabel(path, label string) {
	if _, ok := dnsName(label); !ok || strings.Contains(label, ".") || strings.HasPrefix(label, "_") {
		l.report(path, fmt.Sprintf("%q is no name in the zone", label), "write one word, such as db")
		return
	}
	if _, is := l.cfg.NodeNamed(cluster.NodeName(strings.ToLower(label))); is {
		l.report(path, fmt.Sprintf("%s is a node, and has that name in the zone", label), "use another one")
	}
}
