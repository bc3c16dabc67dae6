// Package dnsname answers where a name in a DNS zone leads that holds certain
// records, and what it is to hold to lead elsewhere, whoever serves the zone.
//
// It is pure and asks no server. The rule: a name that a newer reign has set is
// not set by an older one, so whoever writes a name compares the reign that is
// written beside it, in a TXT record at _baton.NAME.
package dnsname

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
)

// Reign is what is written beside the name.
type Reign struct {
	Cluster string
	Epoch   cluster.Epoch
	Node    cluster.NodeName
}

// Beside is where the reign of a name is written.
func Beside(name string) string { return "_baton." + name }

const reignFormat = "cluster=%s epoch=%d node=%s"

func (r Reign) String() string { return fmt.Sprintf(reignFormat, r.Cluster, r.Epoch, r.Node) }

// ParseReign reads what String has written.
func ParseReign(text string) (r Reign, err error) {
	if _, err := fmt.Sscanf(text, reignFormat, &r.Cluster, &r.Epoch, &r.Node); err != nil || r.String() != text {
		return Reign{}, fmt.Errorf("holds %.80q, which is not of Baton's making", text)
	}
	return r, nil
}

// Held is what a zone holds at a name and beside it.
type Held struct {
	Addresses []netip.Addr
	TTL       uint32   // of the first address, in seconds
	Alias     string   // by CNAME
	Odd       string   // what else makes it lead elsewhere, in words that follow the name
	Texts     []string // beside it
}

// Reign is what is written beside the name.
func (h Held) Reign() (Reign, error) {
	switch len(h.Texts) {
	case 0:
		return Reign{}, errors.New("does not say that Baton has set it")
	case 1:
		return ParseReign(h.Texts[0])
	}
	return Reign{}, fmt.Errorf("holds %d texts, which is not of Baton's making", len(h.Texts))
}

// Is reports whether everything but the time to live is as wanted.
func (h Held) Is(w Wanted) bool {
	says, err := h.Reign()
	return err == nil && says == w.Reign && h.Alias == "" && h.Odd == "" && slices.Equal(h.Addresses, []netip.Addr{w.Address})
}

// Wanted is what a zone is to hold at a name.
type Wanted struct {
	Reign   Reign
	Address netip.Addr
	TTL     uint32 // in seconds
}

// Want is what a name is to hold that leads the clients of a cluster to target.
func Want(name, cluster string, target endpoint.Target, ttl uint32) (Wanted, error) {
	if target.Node == "" || len(target.Addresses) == 0 {
		return Wanted{}, fmt.Errorf("lead %s to %s: there is no address to lead it to", name, target)
	}
	return Wanted{Reign{cluster, target.Epoch, target.Node}, target.Addresses[0].Unmap(), ttl}, nil
}

// Name is a name of a cluster.
type Name struct {
	Name    string // as people write it, without the last dot
	Cluster string
	// NodeOf says whose server has an address.
	NodeOf func(netip.Addr) (cluster.NodeName, bool)
}

// Target says where the name leads if it holds that. A name that is missing leads
// nowhere, and what Baton has not put there is a *ForeignError.
func (n Name) Target(have Held) (endpoint.Target, error) {
	foreign := func(t endpoint.Target, format string, args ...any) (endpoint.Target, error) {
		return t, &ForeignError{Name: n.Name, Why: fmt.Sprintf(format, args...)}
	}
	beside := Beside(n.Name)
	switch {
	case have.Alias != "":
		return foreign(endpoint.Target{}, "is an alias for %s", strings.TrimSuffix(have.Alias, "."))
	case have.Odd != "":
		return foreign(endpoint.Target{}, "%s", have.Odd)
	case len(have.Addresses) == 0 && len(have.Texts) == 0:
		return endpoint.Target{}, nil
	case len(have.Addresses) == 0:
		return foreign(endpoint.Target{}, "has no address, although %s says that it was set", beside)
	case len(have.Addresses) > 1:
		return foreign(endpoint.Target{}, "has several addresses: %v", have.Addresses)
	}
	t := endpoint.Target{Addresses: have.Addresses}
	node, known := n.NodeOf(have.Addresses[0])
	if !known {
		return foreign(t, "has %s, which is no node's address", have.Addresses[0])
	}
	t.Node = node
	says, err := have.Reign()
	switch {
	case err != nil:
		return foreign(t, "has %s, and %s %v", have.Addresses[0], beside, err)
	case says.Cluster != n.Cluster:
		return foreign(t, "is of cluster %s, not %s, as %s says", says.Cluster, n.Cluster, beside)
	case says.Node == node:
		t.Epoch = says.Epoch
	}
	return t, nil
}

// ForeignError says that the name holds what Baton did not put there.
type ForeignError struct{ Name, Why string }

func (e *ForeignError) Error() string { return e.Name + " " + e.Why }

// Unwrap returns endpoint.ErrForeign.
func (e *ForeignError) Unwrap() error { return endpoint.ErrForeign }

// Lifetimes are the times to live that a record has: Usual in the long run, and
// Switch for SwitchFor from when this process was first asked to set it for a reign.
type Lifetimes struct {
	Usual, Switch, SwitchFor time.Duration

	mu    sync.Mutex
	reign cluster.Epoch
	since cluster.Instant
}

// Of is what a record of a reign should have now, in seconds.
func (l *Lifetimes) Of(reign cluster.Epoch, now cluster.Instant) uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if reign > l.reign {
		l.reign, l.since = reign, now
	}
	ttl := l.Usual
	if now.Sub(l.since) < l.SwitchFor {
		ttl = min(ttl, l.Switch)
	}
	return uint32(ttl / time.Second)
}
