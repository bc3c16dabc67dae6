package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/datadir"
	"github.com/baton-db/baton/internal/endpoint/vip"
	"github.com/baton-db/baton/internal/fence"
	"github.com/baton-db/baton/internal/realtime"
)

// Host is this host, in the network namespace of the thread that asks.
type Host struct {
	Config *config.Config
	root   string // of the file system; empty: /
}

var _ config.Host = Host{}

// LookAtHost implements config.Host.
func (h Host) LookAtHost(ctx context.Context) (config.HostSeen, error) {
	seen := config.HostSeen{Now: time.Now()}
	var err error
	if seen.Interfaces, err = interfaces(); err != nil {
		return config.HostSeen{}, err
	}
	if seen.ClockSynchronised, err = synchronised(); err != nil {
		return config.HostSeen{}, err
	}
	seen.ClockSource = h.clockSource()
	if h.Config.Realtime {
		g := realtime.Permitted(0)
		seen.NoRealtime = oneLine(errors.Join(g.Scheduling, g.Memory))
	}
	if h.Config.Witness() {
		return seen, nil
	}
	gate := fence.GateConfig{Cluster: h.Config.Cluster, Scope: scopeOf(h.Config)}
	seen.NoGate = oneLine(fence.Check(ctx, gate))
	seen.Flushers = h.flushers()
	seen.NoReclone = noReclone(h.Config.ServerOf(h.Config.Node))
	seen.Misfits, err = misfits(h.Config)
	return seen, err
}

// noReclone says what is missing on a host whose server may be stopped and given
// other data.
func noReclone(s config.Server) (lacks []string) {
	if len(s.Stop) == 0 {
		return nil
	}
	if s.Flavor == config.MariaDB {
		if _, err := datadir.FindTool(nil); err != nil {
			lacks = append(lacks, err.Error())
		}
	}
	if len(s.Start) == 0 {
		lacks = append(lacks, "server.start does not say how its server is started again")
	}
	if s.DataDir != "" {
		if _, err := datadir.Place(s.DataDir).Look(); err != nil {
			lacks = append(lacks, err.Error())
		}
	}
	return lacks
}

// oneLine is the text of joined errors; empty for none.
func oneLine(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

// interfaces lists the interfaces with their addresses, by netlink.
func interfaces() ([]config.Interface, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	var all []config.Interface
	for _, l := range links {
		in := config.Interface{Name: l.Name, Up: l.Flags&net.FlagUp != 0}
		addrs, err := l.Addrs()
		if err != nil {
			return nil, fmt.Errorf("list the addresses of %s: %w", l.Name, err)
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				in.Networks = append(in.Networks, p)
			}
		}
		all = append(all, in)
	}
	return all, nil
}

// synchronised reports whether somebody keeps the wall clock right: adjtimex(2)
// with no mode set only reads.
func synchronised() (bool, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, fmt.Errorf("read the state of the clock: %w", err)
	}
	return state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, nil
}

func (h Host) clockSource() string {
	b, err := os.ReadFile(h.path("/sys/devices/system/clocksource/clocksource0/current_clocksource"))
	if err != nil {
		return "" // unknown
	}
	return strings.TrimSpace(string(b))
}

func (h Host) path(p string) string { return filepath.Join("/", h.root, p) }

// scopeOf says which traffic is the database's and which is between the nodes.
func scopeOf(c *config.Config) fence.Scope {
	own := c.ServerOf(c.Node)
	s := fence.Scope{Ports: []uint16{uint16(own.Port)}, Own: []netip.Addr{c.Self().Address}, Peers: map[cluster.NodeName][]netip.Addr{}}
	if own.ExtraPort != 0 {
		s.Ports = append(s.Ports, uint16(own.ExtraPort))
	}
	for _, n := range c.Nodes {
		if n.Name != c.Node {
			s.Peers[n.Name] = []netip.Addr{n.Address}
		}
	}
	return s
}

// misfits are the keys that those who will bind the addresses do not take.
func misfits(c *config.Config) ([]config.Misfit, error) {
	var all []config.Misfit
	for _, of := range []struct {
		block, group string
		addresses    []config.Address
	}{{"", "", c.Addresses}, {"readers.", "readers", c.Readers.Addresses}} {
		if len(of.addresses) == 0 {
			continue
		}
		set := vip.Config{Cluster: c.Cluster, Group: of.group}
		for _, a := range of.addresses {
			mac, err := vip.ParseMAC(a.MAC, c.Cluster, a.Address)
			if err != nil {
				return nil, fmt.Errorf("look at the virtual address %s: %w", a.Address, err)
			}
			set.Addresses = append(set.Addresses, vip.Address{IP: a.Address, Interface: a.Interface, MAC: mac})
		}
		for _, err := range flat(vip.CheckHost(set)) {
			wrong, ok := errors.AsType[*vip.ConfigError](err)
			if !ok {
				return nil, fmt.Errorf("look at the virtual addresses: %w", err)
			}
			all = append(all, config.Misfit{Key: of.block + wrong.Key, What: wrong.What, Mend: wrong.Mend})
		}
	}
	return all, nil
}

// flat takes joined errors apart.
func flat(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flat(e)...)
	}
	return all
}

// Where hosts keep firewalls of their own, and the units that load them.
var (
	rulesets = [...]string{"/etc/nftables.conf", "/etc/nftables.rules", "/etc/sysconfig/nftables.conf", "/etc/nftables/*.nft", "/etc/nftables.d/*"}
	units    = [...]string{"/usr/lib/systemd/system/nftables.service", "/lib/systemd/system/nftables.service", "/etc/systemd/system/nftables.service", "/etc/systemd/system/nftables.service.d/*.conf"}
)

// flushers are the files that remove every table when they are loaded, and the
// units, if they are enabled, that do so when they are stopped or reloaded.
func (h Host) flushers() []string {
	enabled, _ := filepath.Glob(h.path("/etc/systemd/system/*.wants/nftables.service")) // the pattern is a constant
	var found []string
	look := func(patterns []string) {
		for _, p := range patterns {
			files, _ := filepath.Glob(h.path(p))
			for _, f := range files {
				if flushes(f) && !slices.ContainsFunc(found, func(other string) bool { return sameFile(f, other) }) {
					found = append(found, f)
				}
			}
		}
	}
	look(rulesets[:])
	if len(enabled) > 0 {
		look(units[:])
	}
	return found
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// flushes reports whether a file holds the statement "flush ruleset", with or
// without a family that our table is in, outside of a comment. A file that
// cannot be read cannot be judged.
func flushes(file string) bool {
	b, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(strings.NewReplacer(";", " ; ", "'", " ", `"`, " ").Replace(line))
		for i := range words {
			if i+1 < len(words) && words[i] == "flush" && words[i+1] == "ruleset" {
				family := ""
				if i+2 < len(words) {
					family = words[i+2]
				}
				if !slices.Contains([]string{"ip", "ip6", "arp", "bridge", "netdev"}, family) {
					return true
				}
			}
		}
	}
	return false
}
