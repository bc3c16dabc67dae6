// Package dnsupdate answers which primary a name in somebody's DNS zone leads to,
// and makes it lead to another, by dynamic update (RFC 2136) signed with TSIG
// (RFC 8945).
//
// Where the name leads it asks the zone's own servers and never a resolver, whose
// answer may be as old as the record's time to live. The rule: a name that a newer reign has set is
// never set by an older one. The reign is written beside the name, in a TXT record
// at _baton.NAME, and the update that sets both has the TXT record as it was read
// as its prerequisite: the comparison and the write are one message.
package dnsupdate

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/dnsname"
	"github.com/baton-db/baton/internal/endpoint/resolver"
)

// Options say which name of which zone it is.
type Options struct {
	// Name is the one that clients look up, and Zone the zone that it is in.
	Name string
	Zone string
	// Servers take the zone's updates. They are tried in this order; the first that
	// carries it out is enough.
	Servers []netip.AddrPort
	Key     Key
	// TTL is the time to live that the record has in the long run, and SwitchTTL what
	// it is written with by a new reign, for SwitchFor.
	TTL       time.Duration
	SwitchTTL time.Duration
	SwitchFor time.Duration
	// Resolvers are some that clients ask: they have to follow.
	Resolvers []netip.AddrPort
	Cluster   string // Baton's, written beside the name
	// NodeOf says whose server has an address.
	NodeOf func(netip.Addr) (cluster.NodeName, bool)
	// Now reads this host's clock; nil: clock.Now. Wall reads its wall clock, which
	// signatures go by; nil: time.Now.
	Now  func() cluster.Instant
	Wall func() time.Time
}

// Key is a TSIG key.
type Key struct {
	Name      string
	Algorithm string // hmac-sha1, -sha224, -sha256, -sha384 or -sha512
	Secret    string // as key files have it: base64
}

// Endpoint is one name. It implements endpoint.Endpoint and endpoint.Tender.
type Endpoint struct {
	name string // in the configuration
	o    Options

	lives dnsname.Lifetimes
	watch resolver.Watch
}

// Open prepares the use of a name. It connects to nobody.
func Open(name string, o Options) (*Endpoint, error) {
	if secret, err := base64.StdEncoding.DecodeString(o.Key.Secret); err != nil || len(secret) == 0 {
		// Not with err: it would show a part of the secret.
		return nil, fmt.Errorf("the secret of TSIG key %s is not base64, as in secret \"…\"; of a key file", o.Key.Name)
	}
	o.Name, o.Zone, o.Key.Name = canonical(o.Name), canonical(o.Zone), canonical(o.Key.Name)
	o.Key.Algorithm = canonical(o.Key.Algorithm)
	if o.Now == nil {
		o.Now = clock.Now
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	return &Endpoint{name: name, o: o, lives: dnsname.Lifetimes{Usual: o.TTL, Switch: o.SwitchTTL, SwitchFor: o.SwitchFor},
		watch: resolver.Watch{Name: shown(o.Name), Resolvers: o.Resolvers, Forget: max(o.TTL, o.SwitchTTL) + late, NodeOf: o.NodeOf}}, nil
}

func canonical(name string) string { return dns.CanonicalName(name) }

// shown is a name as people write it.
func shown(name string) string { return strings.TrimSuffix(name, ".") }

// Observe implements endpoint.Endpoint. A name that is missing leads nowhere.
func (e *Endpoint) Observe(ctx context.Context) (endpoint.Target, error) {
	var have state
	err := e.ask(ctx, func(s *session) (err error) {
		if err = s.texts(e.o.Name, &have); err == nil {
			err = s.addresses(e.o.Name, &have)
		}
		return err
	})
	if err != nil {
		return endpoint.Target{}, err
	}
	return dnsname.Name{Name: shown(e.o.Name), Cluster: e.o.Cluster, NodeOf: e.o.NodeOf}.Target(have.Held)
}

// Set implements endpoint.Endpoint.
func (e *Endpoint) Set(ctx context.Context, target endpoint.Target) error {
	return e.write(ctx, target, func(have state, want wanted) bool { return have.Is(dnsname.Wanted(want)) })
}

// late is how long after its time an answer may still be found in a resolver: one to a
// question that was on its way.
const late = 2 * time.Second

// Tend implements endpoint.Tender: it gives the record the time to live that it
// should have by now, and looks whether resolvers follow.
func (e *Endpoint) Tend(ctx context.Context, target endpoint.Target) error {
	err := e.write(ctx, target, func(have state, want wanted) bool { return have.Is(dnsname.Wanted(want)) && have.TTL == want.TTL })
	if err != nil {
		return err
	}
	return e.watch.Check(ctx, target, e.o.Now())
}

// Tells implements endpoint.Teller: which resolvers lead where the name does.
func (e *Endpoint) Tells() string { return e.watch.Tells() }

// tries bounds how often somebody else may be faster within one call.
const tries = 8

// write leads the name to target, unless enough says that what is there will do.
func (e *Endpoint) write(ctx context.Context, target endpoint.Target, enough func(have state, want wanted) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w, err := dnsname.Want(shown(e.o.Name), e.o.Cluster, target, e.lives.Of(target.Epoch, e.o.Now()))
	if err != nil {
		return err
	}
	want := wanted(w)
	return e.ask(ctx, func(s *session) error {
		return e.swap(ctx, s, want, func(have state) bool { return enough(have, want) })
	})
}

// swap updates the name under the reign that was read there.
func (e *Endpoint) swap(ctx context.Context, s *session, want wanted, enough func(state) bool) error {
	for range tries {
		var have state
		if err := s.texts(e.o.Name, &have); err != nil {
			return err
		}
		says, err := have.Reign()
		switch {
		case err != nil || says.Cluster != want.Reign.Cluster: // the name was given to Baton, and to this cluster
		case says.Epoch > want.Reign.Epoch:
			return &endpoint.OldEpochError{Endpoint: e.name, Asked: want.Reign.Epoch, Known: says.Epoch}
		case says == want.Reign:
			if err := s.addresses(e.o.Name, &have); err != nil {
				return err
			}
			if enough(have) {
				return nil
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		err = s.update(want.message(e.o, have))
		var refused *RefusedError
		if !errors.As(err, &refused) || !refused.lost() {
			return err
		}
		// Somebody was faster: look again at what is there now.
	}
	return fmt.Errorf("update %s: %s has changed each of %d times between the look and the update; is it answered by a wildcard?",
		shown(e.o.Name), shown(dnsname.Beside(e.o.Name)), tries)
}
