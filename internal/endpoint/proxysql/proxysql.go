// Package proxysql answers to which node the writers' hostgroup of ProxySQLs leads, and
// leads it to another, over their admin interface: with the statements of ProxySQL's
// documentation on mysql_servers, in the text protocol, which is all that it speaks.
//
// It touches no other table and no other hostgroup than the two that it is given, and
// keeps what else stands in their rows. The rule: what is said to lead somewhere is what
// the runtime tables say now, never the tables of the configuration; and in the writers'
// hostgroup the old primary goes offline in the same step in which the new one comes
// online.
package proxysql

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
)

// Options say which ProxySQLs, and what of them.
type Options struct {
	// Admins are where their admin interfaces are, each an address and a port. All of
	// them are to lead to the same node.
	Admins   []string
	User     string
	Password string
	// TLS is how it is spoken with them; nil: in clear text.
	TLS *tls.Config
	// AnyName takes every certificate that an authority of TLS signed, whatever its name.
	AnyName bool
	// Writers is the hostgroup in which the primary alone is online.
	Writers int
	// Readers is the hostgroup in which the replicas are; 0: there is none.
	Readers int
	// PrimaryReads says that the primary stays among the readers if it is there.
	PrimaryReads bool
	// Save says that what is changed outlives a restart of ProxySQL.
	Save bool
	// Hosts are the nodes' servers as mysql_servers has them.
	Hosts map[cluster.NodeName]Host
}

// Host is a server as mysql_servers has it: its hostname may be an address.
type Host struct {
	Name string
	Port int
}

func (h Host) String() string { return net.JoinHostPort(h.Name, strconv.Itoa(h.Port)) }

// Endpoint is one writers' hostgroup, in one ProxySQL or several. It implements
// endpoint.Endpoint, endpoint.Tender and endpoint.Teller.
type Endpoint struct {
	name  string
	o     Options
	tls   *tls.Config
	guard endpoint.EpochGuard
	tells []string // what each ProxySQL said of its connections at the last look
}

// Open prepares the use of a hostgroup. It connects to nobody.
func Open(name string, o Options) *Endpoint { return &Endpoint{name: name, o: o, tls: encryption(o)} }

// Observe implements endpoint.Endpoint, by the runtime tables. A primary that ProxySQL
// itself has shunned is seen to be astray.
func (e *Endpoint) Observe(ctx context.Context) (endpoint.Target, error) {
	targets := make([]endpoint.Target, len(e.o.Admins))
	e.tells = make([]string, len(e.o.Admins))
	err := e.each(ctx, func(i int, a *admin) error {
		rows, err := a.servers(ctx, inRuntime, e.groups())
		if err == nil {
			targets[i], err = e.leads(rows)
			e.tells[i] = e.tell(ctx, a, e.o.Admins[i])
		}
		return err
	})
	if err != nil {
		return endpoint.Target{}, err
	}
	return endpoint.Agree(e.o.Admins, targets)
}

// Tells implements endpoint.Teller: the writers' servers to which ProxySQL has
// connections, with what has become of those.
func (e *Endpoint) Tells() string {
	return strings.Join(slices.DeleteFunc(slices.Clone(e.tells), func(t string) bool { return t == "" }), "; ")
}

// tell is what one ProxySQL says of its connections. Nothing rests on it: where that is
// not known it says nothing. It gives no numbers, which change at every look: what
// matters is whether it is connected to the new primary, and whether sessions still use
// the old one.
func (e *Endpoint) tell(ctx context.Context, a *admin, at string) string {
	pools, err := a.pools(ctx, e.o.Writers)
	if err != nil {
		return ""
	}
	var parts []string
	for _, p := range pools {
		switch taken := p.status == online || p.status == shunned; {
		case taken && p.used+p.free > 0:
			parts = append(parts, fmt.Sprintf("%s %s (connected)", e.called(p.row), p.status))
		case taken:
			parts = append(parts, fmt.Sprintf("%s %s (without connections)", e.called(p.row), p.status))
		case p.used > 0:
			parts = append(parts, fmt.Sprintf("%s %s (sessions still use it)", e.called(p.row), p.status))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("ProxySQL at %s has %s", at, strings.Join(parts, ", "))
}

// each does something with every ProxySQL at the same time, over a connection of its own.
func (e *Endpoint) each(ctx context.Context, do func(i int, a *admin) error) error {
	return endpoint.Each("ProxySQL", e.o.Admins, func(i int, at string) error {
		a, err := dial(ctx, at, e.o.User, e.o.Password, e.tls)
		if err != nil {
			return err
		}
		defer a.close()
		return do(i, a)
	})
}

func (e *Endpoint) groups() []int {
	if e.o.Readers == 0 {
		return []int{e.o.Writers}
	}
	return []int{e.o.Writers, e.o.Readers}
}

// leads says to which node the runtime rows lead writers.
func (e *Endpoint) leads(rows []row) (endpoint.Target, error) {
	var in []row
	var names []string
	for _, r := range rows {
		if r.group == e.o.Writers && r.taken() {
			in = append(in, r)
			names = append(names, e.called(r))
		}
	}
	switch len(in) {
	case 0:
		return endpoint.Target{}, nil
	case 1:
	default:
		return endpoint.Target{}, endpoint.Astray("hostgroup %d leads to %s at the same time", e.o.Writers, strings.Join(names, " and "))
	}
	n, ok := e.nodeAt(in[0].Host)
	if !ok {
		return endpoint.Target{}, endpoint.Astray("hostgroup %d leads to %s, where no node's server is", e.o.Writers, in[0].Host)
	}
	t := endpoint.Target{Node: n, Port: in[0].Port}
	if address, err := netip.ParseAddr(in[0].Name); err == nil {
		t.Addresses = []netip.Addr{address}
	}
	if in[0].status == shunned {
		return t, endpoint.Astray("hostgroup %d has %s, but ProxySQL has shunned it: connections to it failed, or its own monitor cannot reach it", e.o.Writers, n)
	}
	return t, nil
}

func (e *Endpoint) nodeAt(h Host) (cluster.NodeName, bool) {
	for n, at := range e.o.Hosts {
		if at == h {
			return n, true
		}
	}
	return "", false
}

func (e *Endpoint) called(r row) string {
	if n, ok := e.nodeAt(r.Host); ok {
		return string(n)
	}
	return r.Host.String()
}

// Set implements endpoint.Endpoint. It changes only what is not so yet.
func (e *Endpoint) Set(ctx context.Context, target endpoint.Target) error {
	if err := e.allowed(ctx, target); err != nil {
		return err
	}
	return e.each(ctx, func(_ int, a *admin) error { return e.put(ctx, a, target) })
}

// Tend implements endpoint.Tender: what was loaded and not saved is saved, and people
// are told of ProxySQL's own hand in these hostgroups.
func (e *Endpoint) Tend(ctx context.Context, target endpoint.Target) error {
	if err := e.allowed(ctx, target); err != nil {
		return err
	}
	return e.each(ctx, func(_ int, a *admin) error {
		if err := e.put(ctx, a, target); err != nil {
			return err
		}
		return e.rival(ctx, a)
	})
}

func (e *Endpoint) allowed(ctx context.Context, target endpoint.Target) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, ok := e.o.Hosts[target.Node]; !ok && target.Node != "" {
		return fmt.Errorf("%s has no server here", target.Node)
	}
	return e.guard.Pass(e.name, target.Epoch)
}

// put makes each of the three layers of one ProxySQL right that is not: the tables of
// the configuration, from those what runs, and from those what is on its disk.
func (e *Endpoint) put(ctx context.Context, a *admin, target endpoint.Target) error {
	rows, err := a.servers(ctx, inMemory, e.groups())
	if err != nil {
		return err
	}
	running, err := a.servers(ctx, inRuntime, e.groups())
	if err != nil {
		return err
	}
	for _, group := range e.groups() {
		if err := a.known(ctx, group, rows, running); err != nil {
			return err
		}
	}
	// ProxySQL forgets at runtime whom nobody may use, once its last connection has ended:
	// that is no reason to load the tables again.
	for _, r := range rows {
		if r.status == offlineHard && !slices.ContainsFunc(running, func(t row) bool { return t.group == r.group && t.Host == r.Host }) {
			running = append(running, r)
		}
	}
	for _, statement := range e.edits(rows, target) {
		if err := a.exec(ctx, statement); err != nil {
			return err
		}
	}
	if len(e.edits(running, target)) > 0 {
		if err := a.exec(ctx, "LOAD MYSQL SERVERS TO RUNTIME"); err != nil {
			return err
		}
	}
	if !e.o.Save {
		return nil
	}
	saved, err := a.servers(ctx, onDisk, e.groups())
	if err == nil && len(e.edits(saved, target)) > 0 {
		err = a.exec(ctx, "SAVE MYSQL SERVERS TO DISK")
	}
	return err
}

// rival tells of a pair of hostgroups between which ProxySQL moves servers by itself.
func (e *Endpoint) rival(ctx context.Context, a *admin) error {
	pairs, err := a.pairs(ctx, e.groups())
	if err != nil || len(pairs) == 0 {
		return err
	}
	p := pairs[0]
	return fmt.Errorf("its own monitor moves servers between hostgroups %d and %d by their read_only as well (mysql_replication_hostgroups), "+
		"and may lead astray for a moment around a switch: delete that row, LOAD MYSQL SERVERS TO RUNTIME and SAVE MYSQL SERVERS TO DISK", p[0], p[1])
}
