package config

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Host looks at this host and changes nothing.
type Host interface {
	LookAtHost(ctx context.Context) (HostSeen, error)
}

// HostSeen is what this host has.
type HostSeen struct {
	Now        time.Time
	Interfaces []Interface
	// Misfits are further keys of the file that do not fit this host.
	Misfits []Misfit
	// NoGate says why nftables cannot hold the gate here; empty if it can.
	NoGate string
	// Flushers are what would flush the gate: units or files of the host's own
	// firewall that begin with "flush ruleset".
	Flushers []string
	// NoReclone says why this host could take no part in a reclone that
	// server.stop prepares it for.
	NoReclone []string
	// NoRealtime says why the agent may not run under real-time priority or
	// lock its memory; empty if it may.
	NoRealtime string
	// ClockSource is the kernel's, from /sys/devices/system/clocksource; empty
	// if unknown.
	ClockSource string
	// ClockSynchronised says whether the wall clock is (adjtimex(2)).
	ClockSynchronised bool
}

// Interface is one network interface.
type Interface struct {
	Name     string
	Up       bool
	Networks []netip.Prefix // its addresses with their prefix length
}

// Misfit is a key of the file that does not fit a host.
type Misfit struct{ Key, What, Mend string }

// ErrServerSilent says that a server does not answer now, which tells nothing
// of how it is set up: after the start of a host it may come later than the
// agent. An answer that turns us away is another error.
var ErrServerSilent = errors.New("the server cannot be asked now")

// ServerLooker looks at the database server of a node, from here, and changes
// nothing.
type ServerLooker interface {
	LookAtServer(ctx context.Context, node Node) (ServerSeen, error)
}

// ServerSeen is what a server says of itself. Of another node's server, which
// is asked with the account of probes, the fields below Local may be unknown.
type ServerSeen struct {
	Flavor  string // "mariadb" or "mysql"
	Version string
	ID      uint32 // server_id

	BinLog     bool
	LogUpdates bool // logs what it replicates

	// Privileges are what is wrong with the accounts, as far as it is known.
	Privileges []Privilege

	// Local says that the fields below are known: it is this host's server.
	Local bool

	Port      int
	ExtraPort int    // 0: none
	RowFormat string // of the binary log: ROW, MIXED or STATEMENT
	// StrictGTID is MariaDB's gtid_strict_mode.
	StrictGTID bool
	// SemiSync says that both sides of semi-synchronous replication are there.
	SemiSync bool
	// LosesOnPower names settings under which a power loss loses transactions
	// that the server has acknowledged, such as sync_binlog=0.
	LosesOnPower []string
	// NoGTID: MySQL's gtid_mode or enforce_gtid_consistency is not ON.
	NoGTID bool
	// NoHeartbeat: MySQL's performance_schema is off.
	NoHeartbeat bool
	// NoClone: MySQL without the clone plugin.
	NoClone bool
	// DropsUnapplied: MySQL's relay_log_recovery is on.
	DropsUnapplied bool

	Restart Restart
}

// Restart is how a server would come up if somebody started it again, from its
// option files.
type Restart struct {
	Known           bool
	Why             string // how it was found out, or why it could not be
	ReadOnly        bool   // it would come up read-only
	HoldReplication bool   // it would not start replication by itself
	OwnAgain        bool   // MySQL: it would take back from others what it wrote itself and has lost
}

// Privilege is one privilege that an account lacks, or must not have.
type Privilege struct {
	Account string // as the server names it
	Name    string
	Excess  bool
	Mend    string // the statement that mends it
}

// Check judges a configuration together with the host and the servers, and
// returns everything that is wrong at once. Nothing is changed anywhere. A
// server that cannot be asked is a finding, too.
func Check(ctx context.Context, cfg *Config, host Host, servers ServerLooker) Findings {
	c := &check{cfg: cfg}
	c.host(ctx, host)
	c.servers(ctx, servers)
	return c.found.sorted()
}

// CheckStart is Check as an agent needs it before it touches anything: this
// host and its own server. What may pass without anybody's doing does not keep
// it from starting: a server that does not answer yet, an interface that is
// down. In mode observe nothing that is found in the server does, as the agent
// is there to show it.
func CheckStart(ctx context.Context, cfg *Config, host Host, own ServerLooker) Findings {
	c := &check{cfg: cfg, starting: true}
	c.host(ctx, host)
	before := len(c.found)
	for i, n := range cfg.Nodes {
		if n.Name == cfg.Node && n.Role == cluster.Data {
			c.ownServerAtStart(ctx, i, own)
		}
	}
	if cfg.Mode == cluster.Observe {
		for i := range c.found[before:] {
			c.found[before+i].Severity = Warning
		}
	}
	return c.found.sorted()
}

func (c *check) ownServerAtStart(ctx context.Context, i int, own ServerLooker) {
	n := c.cfg.Nodes[i]
	seen, err := own.LookAtServer(ctx, n)
	switch {
	case errors.Is(err, ErrServerSilent):
		c.add(Warning, "server of "+string(n.Name), "it cannot be asked yet, so it was not checked: "+err.Error(), "", "run `baton config check` once it is up")
	case err != nil:
		c.silent(n, err)
	default:
		c.server(i, n, seen)
	}
}

// host looks at this host and judges what it has.
func (c *check) host(ctx context.Context, host Host) {
	seen, err := host.LookAtHost(ctx)
	if err != nil {
		c.add(Error, "", "look at this host: "+err.Error(), "", "run it as root")
		c.found = append(c.found, c.cfg.CheckFiles(time.Now())...)
		return
	}
	if c.starting {
		seen.Interfaces = slices.Clone(seen.Interfaces)
		for i := range seen.Interfaces {
			seen.Interfaces[i].Up = true
		}
	}
	c.found = append(c.found, c.cfg.CheckFiles(seen.Now)...)
	c.ownAddress(seen)
	c.tracked(seen)
	c.clocks(seen)
	if !c.cfg.Witness() {
		c.virtualAddresses(seen)
		c.misfits(seen)
		c.gate(seen)
	}
}

// misfits adds what nothing was said of yet.
func (c *check) misfits(seen HostSeen) {
	said := slices.Clone(c.found)
	for _, m := range seen.Misfits {
		if !slices.ContainsFunc(said, func(f Finding) bool {
			return f.Key == m.Key || parent(m.Key) != "" && strings.HasPrefix(f.Key, parent(m.Key)+".")
		}) {
			c.at(Error, m.Key, m.What, m.Mend)
		}
	}
}

// check is one run of Check.
type check struct {
	cfg      *Config
	found    Findings
	starting bool // an agent asks
}

// at notes a finding about a key of the file.
func (c *check) at(s Severity, key, what, mend string) {
	f := c.cfg.finding(key, what, mend)
	f.Severity = s
	c.found = append(c.found, f)
}

// add notes a finding about a host or server, with the statement that shows it.
func (c *check) add(s Severity, about, what, shown, mend string) {
	c.found = append(c.found, Finding{Key: about, What: what, Shown: shown, Mend: mend, Severity: s})
}

// servers looks at every data node's server.
func (c *check) servers(ctx context.Context, looker ServerLooker) {
	ids := make(map[uint32]cluster.NodeName)
	for i, n := range c.cfg.Nodes {
		if n.Role != cluster.Data {
			continue
		}
		seen, err := looker.LookAtServer(ctx, n)
		if err != nil {
			c.silent(n, err)
			continue
		}
		if other, twice := ids[seen.ID]; twice && seen.ID != 0 {
			c.add(Error, "server of "+string(n.Name), "it has the same server_id as that of "+string(other)+", so neither replicates from the other",
				shown(seen, "server_id"), "give every server its own server_id in its option file and restart it")
		} else {
			ids[seen.ID] = n.Name
		}
		c.server(i, n, seen)
	}
}

// silent: the own server must answer, another one may be down.
func (c *check) silent(n Node, err error) {
	about := "server of " + string(n.Name)
	if n.Name == c.cfg.Node {
		c.add(Error, about, "it cannot be asked: "+err.Error(), "", "start it, and see that the account of server.user exists (accounts.sql of `baton init`)")
		return
	}
	c.add(Warning, about, "it cannot be asked from here, so it was not checked: "+err.Error(), "", "run `baton config check` on "+string(n.Name)+" too")
}
