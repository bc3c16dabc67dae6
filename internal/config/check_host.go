package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
)

// ownAddress: this host is the node that the file says.
func (c *check) ownAddress(seen HostSeen) {
	for i, n := range c.cfg.Nodes {
		if n.Name != c.cfg.Node || n.Address.IsLoopback() {
			continue
		}
		here := false
		var all []string
		for _, in := range seen.Interfaces {
			for _, p := range in.Networks {
				here = here || p.Addr() == n.Address
				if global(p.Addr()) {
					all = append(all, p.Addr().String())
				}
			}
		}
		if here {
			continue
		}
		mend := "mend node: or the address"
		for _, other := range c.cfg.Nodes {
			if slices.Contains(all, other.Address.String()) {
				mend = "is this " + string(other.Name) + "? Then write node: " + string(other.Name)
			}
		}
		c.at(Error, at("nodes", i, "address"), fmt.Sprintf("%s is no address of this host, which has %s", n.Address, listed(all)), mend)
	}
}

// virtualAddresses: each lies in a network of its interface, and nobody else
// has configured it here.
func (c *check) virtualAddresses(seen HostSeen) {
	c.virtual(seen, "addresses", c.cfg.Addresses)
	c.virtual(seen, "readers.addresses", c.cfg.Readers.Addresses)
}

func (c *check) virtual(seen HostSeen, list string, all []Address) {
	for i, a := range all {
		key := at(list, i, "address")
		in, ok := find(seen.Interfaces, a.Interface)
		if !ok {
			c.at(Error, at(list, i, "interface"), fmt.Sprintf("this host has no interface %s", a.Interface), "use "+interfacesFor(seen, a.Address))
			continue
		}
		if !in.Up {
			c.at(Error, at(list, i, "interface"), fmt.Sprintf("%s is down", a.Interface), "ip link set "+a.Interface+" up")
		}
		if a.Interface == onLoopback {
			for _, other := range seen.Interfaces {
				if covers(other, a.Address) {
					c.at(Error, key, fmt.Sprintf("%s is in a network of %s, where neighbours ask for it and nobody tells them that it moves", a.Address, other.Name), "use an address outside of the hosts' networks, or interface: "+other.Name)
				}
			}
		} else if !covers(in, a.Address) {
			mend := "use an address of one of these networks"
			if there := interfacesFor(seen, a.Address); !strings.HasPrefix(there, "one of") {
				mend = "use interface: " + there
			}
			c.at(Error, key, fmt.Sprintf("%s is outside of every network of %s, which are %s", a.Address, a.Interface, networks(in)), mend)
		}
		for _, other := range seen.Interfaces {
			for _, p := range other.Networks {
				if p.Addr() == a.Address && !p.IsSingleIP() {
					c.at(Error, key, fmt.Sprintf("somebody else has configured %s on %s here", p, other.Name), "remove it from this host's network configuration: Baton binds it, and on one host only")
				}
			}
		}
	}
}

func find(all []Interface, name string) (Interface, bool) {
	i := slices.IndexFunc(all, func(in Interface) bool { return in.Name == name })
	if i < 0 {
		return Interface{}, false
	}
	return all[i], true
}

// covers reports whether a lies in a network that the interface has an address
// of its own in.
func covers(in Interface, a netip.Addr) bool {
	return slices.ContainsFunc(in.Networks, func(p netip.Prefix) bool {
		return p.Addr() != a && !p.IsSingleIP() && p.Contains(a)
	})
}

// interfacesFor names the interface whose network a lies in, or all of them.
func interfacesFor(seen HostSeen, a netip.Addr) string {
	var all []string
	for _, in := range seen.Interfaces {
		if covers(in, a) {
			return in.Name
		}
		if in.Name != "lo" {
			all = append(all, in.Name)
		}
	}
	return "one of " + listed(all)
}

func global(a netip.Addr) bool { return !a.IsLoopback() && !a.IsLinkLocalUnicast() }

func networks(in Interface) string {
	var all []string
	for _, p := range in.Networks {
		if global(p.Addr()) && !p.IsSingleIP() {
			all = append(all, p.Masked().String())
		}
	}
	return listed(all)
}

func listed(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

// tracked: what is to be watched is there.
func (c *check) tracked(seen HostSeen) {
	if c.cfg.Self().Role != cluster.Data {
		return
	}
	for i, t := range c.cfg.Detection.Track {
		in, ok := find(seen.Interfaces, t.Interface)
		switch {
		case !ok:
			c.at(Error, at("detection.track", i, "interface"), fmt.Sprintf("this host has no interface %s", t.Interface), "use one that `ip link` shows, or remove the entry")
		case t.Gateway.IsValid() && !covers(in, t.Gateway):
			c.at(Error, at("detection.track", i, "gateway"), fmt.Sprintf("%s is outside of every network of %s, which are %s", t.Gateway, t.Interface, networks(in)), "give a gateway that is directly connected there")
		}
	}
}

// gate: the guarantee is weaker without it.
func (c *check) gate(seen HostSeen) {
	if seen.NoGate != "" {
		c.add(Warning, "gate", "there is no gate on this host: "+seen.NoGate, "", "use a kernel with nf_tables and run the agent as root; "+
			"until then an agent that is killed or frozen does not close the port, and only read_only and the acknowledgements hold clients back")
		return
	}
	for _, f := range seen.Flushers {
		c.add(Warning, "gate", f+" removes every firewall table when it is reloaded, Baton's included; the agent puts it back, but not in the same instant", "flush ruleset",
			"in it, replace \"flush ruleset\" by: table inet filter {}; flush table inet filter (or whatever your own tables are)")
	}
}

// steadyClocks are sources of the kernel's clock that keep their speed.
var steadyClocks = []string{"tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "xen", "arch_sys_counter", "acpi_pm", "hpet"}

func (c *check) clocks(seen HostSeen) {
	if seen.ClockSource != "" && !slices.Contains(steadyClocks, seen.ClockSource) {
		c.add(Warning, "clock", fmt.Sprintf("the kernel's clock runs from %s, whose speed may differ by more than timing.drift", seen.ClockSource),
			"cat /sys/devices/system/clocksource/clocksource0/current_clocksource", "choose a better one, or raise timing.drift")
	}
	if !seen.ClockSynchronised {
		c.add(Warning, "clock", "this host's wall clock is not synchronised; no decision uses it, but times in the history will not match those of other nodes", "", "run chrony or another NTP client")
	}
	for _, why := range seen.NoReclone {
		c.add(Warning, "reclone", "this host cannot take part in `baton rejoin --reclone`: "+why, "", "do that, or remove server.stop")
	}
	if c.cfg.Realtime && seen.NoRealtime != "" {
		c.add(Warning, "realtime", "the agent may not run under real-time priority here: "+seen.NoRealtime, "",
			"let the unit have LimitRTPRIO=50, LimitMEMLOCK=infinity and CAP_SYS_NICE, or set realtime: false and a longer lease")
	}
}
