package config

import (
	"time"
)

// Readers are the virtual addresses that lead clients to replicas.
type Readers struct {
	Addresses []Address     `key:"addresses"`
	MaxLag    time.Duration `key:"max_lag"`
	NoReplica string        `key:"no_replica"`
}

func readerKeys() []Key {
	return []Key{
		key("readers.addresses", Block).same().
			doc("Virtual addresses that lead clients to replicas, each to one that is well and not too far behind. Several are spread over the replicas."),
		key("readers.addresses[].address", IP).required("give the virtual address").same().like("10.77.0.60").
			doc("The address, as in addresses."),
		key("readers.addresses[].interface", Text).required("name the interface that binds it, such as interface: eth0").same().like("eth0").
			doc("The interface that binds it."),
		key("readers.addresses[].mac", Text).same().like("auto").
			doc("A link-layer address that moves with it, as in addresses."),
		key("readers.max_lag", Duration).byDefault("10s").between("1s", "24h").same().
			doc("A replica that is further behind than that gives its addresses up to another one. It is no finer than timing.beat."),
		choice("readers.no_replica", "place to lead readers to", ToPrimary, ToNobody).byDefault(ToPrimary).same().
			doc("Where the addresses are while no replica is well."),
	}
}

// ReadersHold is for how long a replica keeps its addresses for readers without a word
// from the primary: three leases, so that they stay while a failover goes on.
func (c *Config) ReadersHold() time.Duration { return max(3*c.Timing.Lease, 3*time.Second) }

// judgeReaders: they are addresses like those of the primary, and no node's and not the
// primary's either.
func (l *loader) judgeReaders(seen, macs map[string]int) {
	r := l.cfg.Readers
	l.judgeVirtual("readers.addresses", r.Addresses, seen, macs)
	for i, a := range r.Addresses {
		if a.Interface == onLoopback {
			l.report(at("readers.addresses", i, "interface"), "no endpoint announces addresses for readers to routers", "name an interface of the clients' network")
		}
	}
	if len(r.Addresses) > 0 && !l.cfg.HasLink() {
		l.report("readers.addresses", "the primary's agent tells the others which of them has an address, and there are no certificates for that", "add tls: with the files that `baton init` made")
	}
}
