// Package clouddns answers which primary a name leads to in a zone that a cloud
// vendor serves, and makes it lead to another by the vendor's API: Route 53, Alibaba
// Cloud DNS, DNSPod, Cloudflare.
//
// Where the name leads it asks the vendor's API and no resolver, and does not wait
// until every server of the vendor's knows. The rule: a name that a newer reign has set is not set by an
// older one. The reign is written beside the name (package dnsname). Where the API
// can replace it only if it is as it was read, both change in one request that is
// refused otherwise; where it cannot, the reign is written first and read again, and
// what is left open is the time of the one request that follows.
package clouddns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/cloudapi"
	"github.com/baton-db/baton/internal/endpoint/dnsname"
	"github.com/baton-db/baton/internal/endpoint/resolver"
)

// Options say which name it is.
type Options struct {
	Name string // the whole name
	Zone Zone
	// TTL is the time to live that the record has in the long run, and SwitchTTL what
	// it is written with by a new reign, for SwitchFor.
	TTL, SwitchTTL, SwitchFor time.Duration
	Cluster                   string // Baton's, written beside the name
	// NodeOf says whose server has an address.
	NodeOf func(netip.Addr) (cluster.NodeName, bool)
	// Resolvers are some that clients ask: they have to follow.
	Resolvers []netip.AddrPort
	// Now reads this host's clock; nil: clock.Now.
	Now func() cluster.Instant
}

// A Zone is one zone at one vendor.
type Zone interface {
	// Records returns what the zone holds at a name.
	Records(ctx context.Context, name string) ([]Record, error)
	// Swap carries a plan out, and reports false if that was not all, or if somebody
	// was faster: it is then to be looked at again.
	Swap(ctx context.Context, p Plan) (done bool, err error)
}

// Record is one record.
type Record struct {
	ID    string // the vendor's; empty: it has none
	Name  string // whole, in lower case, without the last dot
	Kind  string // A, AAAA, CNAME, TXT or another
	Value string // of a TXT without its quotes
	TTL   uint32 // in seconds
	// Line is which clients get it, where a vendor tells them apart; empty: all.
	Line string
	// Off says that no client gets it.
	Off bool
	// Odd is how else the vendor treats it, in words that follow the name.
	Odd string

	whole any // the vendor's own form of it
}

// Plan is what is to be changed. IDs in it are of what is there already.
type Plan struct {
	// Drop are records at the name that lead elsewhere.
	Drop []Record
	// Address is to be at the name. With an ID it takes the place of that record, and
	// Leads says that that one is as wanted.
	Address Record
	Leads   bool
	// Read are the texts that were beside the name. Reign is to be there alone. With an
	// ID it takes the place of that one; Stale are the others, and Reigns says that the
	// one is as wanted.
	Read, Stale []Record
	Reign       Record
	Reigns      bool
}

// Endpoint is one name. It implements endpoint.Endpoint and endpoint.Tender.
type Endpoint struct {
	endpoint string // its name in the configuration
	name     dnsname.Name
	o        Options
	lives    dnsname.Lifetimes
	watch    resolver.Watch
}

// late is how long after its time an answer may still be found in a resolver: the
// vendor's name servers follow its API by up to a minute.
const late = time.Minute

// Open prepares the use of a name. It connects to nobody.
func Open(name string, o Options) *Endpoint {
	if o.Now == nil {
		o.Now = clock.Now
	}
	o.Name = canonical(o.Name)
	return &Endpoint{endpoint: name, o: o, name: dnsname.Name{Name: o.Name, Cluster: o.Cluster, NodeOf: o.NodeOf},
		lives: dnsname.Lifetimes{Usual: o.TTL, Switch: o.SwitchTTL, SwitchFor: o.SwitchFor},
		watch: resolver.Watch{Name: o.Name, Resolvers: o.Resolvers, Forget: max(o.TTL, o.SwitchTTL) + late, NodeOf: o.NodeOf}}
}

func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// Observe implements endpoint.Endpoint. A name that is missing leads nowhere.
func (e *Endpoint) Observe(ctx context.Context) (endpoint.Target, error) {
	have, err := e.read(ctx)
	if err != nil {
		return endpoint.Target{}, err
	}
	return e.name.Target(held(have))
}

// Set implements endpoint.Endpoint.
func (e *Endpoint) Set(ctx context.Context, target endpoint.Target) error {
	return e.write(ctx, target, dnsname.Held.Is)
}

// Tend implements endpoint.Tender: it gives the record the time to live that it
// should have by now, and looks whether resolvers follow.
func (e *Endpoint) Tend(ctx context.Context, target endpoint.Target) error {
	if err := e.write(ctx, target, func(h dnsname.Held, w dnsname.Wanted) bool { return h.Is(w) && h.TTL == w.TTL }); err != nil {
		return err
	}
	return e.watch.Check(ctx, target, e.o.Now())
}

// Tells implements endpoint.Teller: which resolvers lead where the name does.
func (e *Endpoint) Tells() string { return e.watch.Tells() }

// tries bounds how often it is looked again within one call.
const tries = 8

func (e *Endpoint) write(ctx context.Context, target endpoint.Target, enough func(dnsname.Held, dnsname.Wanted) bool) error {
	want, err := dnsname.Want(e.o.Name, e.o.Cluster, target, e.lives.Of(target.Epoch, e.o.Now()))
	if err != nil {
		return err
	}
	for range tries {
		if err := ctx.Err(); err != nil {
			return err
		}
		have, err := e.read(ctx)
		if err != nil {
			return err
		}
		is := held(have)
		if newer, ok := newest(is.Texts, want.Reign); ok {
			return &endpoint.OldEpochError{Endpoint: e.endpoint, Asked: want.Reign.Epoch, Known: newer}
		}
		if enough(is, want) {
			return nil
		}
		if done, err := e.o.Zone.Swap(ctx, plan(e.o.Name, have, want)); done || err != nil {
			return err
		}
	}
	return fmt.Errorf("set %s: what is written at it or beside it has changed each of %d times between the look and the change", e.o.Name, tries)
}

// newest is the newest reign of the same cluster that is written there, if it is
// newer than that.
func newest(texts []string, than dnsname.Reign) (epoch cluster.Epoch, newer bool) {
	epoch = than.Epoch
	for _, text := range texts {
		if says, err := dnsname.ParseReign(text); err == nil && says.Cluster == than.Cluster && says.Epoch > epoch {
			epoch, newer = says.Epoch, true
		}
	}
	return epoch, newer
}

// at is what a zone holds at a name and beside it.
type at struct{ name, beside []Record }

// read asks for both at the same time: an API takes its time for each.
func (e *Endpoint) read(ctx context.Context) (at, error) {
	var have at
	var besideErr error
	var both sync.WaitGroup
	both.Go(func() { have.beside, besideErr = e.o.Zone.Records(ctx, dnsname.Beside(e.o.Name)) })
	var err error
	have.name, err = e.o.Zone.Records(ctx, e.o.Name)
	both.Wait()
	if err == nil {
		err = besideErr // that of the other would be the same in most cases
	}
	return have, err
}

var leading = [...]string{"A", "AAAA", "CNAME"}

// held is what that means.
func held(have at) dnsname.Held {
	var h dnsname.Held
	for _, r := range have.name {
		address, err := netip.ParseAddr(r.Value)
		switch {
		case r.Off || !slices.Contains(leading[:], r.Kind):
		case r.Odd != "":
			h.Odd = r.Odd
		case r.Line != "":
			h.Odd = "has an answer of its own for some clients (" + r.Line + ")"
		case r.Kind == "CNAME":
			h.Alias = r.Value
		case err == nil:
			if len(h.Addresses) == 0 {
				h.TTL = r.TTL
			}
			h.Addresses = append(h.Addresses, address)
		}
	}
	for _, r := range have.beside {
		if r.Kind == "TXT" && !r.Off {
			h.Texts = append(h.Texts, r.Value)
		}
	}
	return h
}

// plan is what leads from what is there to what is wanted. It keeps what can be
// kept, for a record that is changed in place is never missing.
func plan(name string, have at, want dnsname.Wanted) Plan {
	kind := "A"
	if want.Address.Is6() {
		kind = "AAAA"
	}
	p := Plan{
		Address: Record{Name: name, Kind: kind, Value: want.Address.String(), TTL: want.TTL},
		Reign:   Record{Name: dnsname.Beside(name), Kind: "TXT", Value: want.Reign.String(), TTL: want.TTL},
	}
	var rivals []Record
	for _, r := range have.name {
		if slices.Contains(leading[:], r.Kind) {
			rivals = append(rivals, r)
		}
	}
	p.Drop, p.Leads = keep(rivals, &p.Address)
	for _, r := range have.beside {
		if r.Kind == "TXT" {
			p.Read = append(p.Read, r)
		}
	}
	p.Stale, p.Reigns = keep(p.Read, &p.Reign)
	return p
}

// keep chooses the record whose place want takes, the one with its value if there is
// any, and returns the rest, and whether it has that value already. Of the times to
// live only the address's counts.
func keep(there []Record, want *Record) (rest []Record, is bool) {
	kept := slices.IndexFunc(there, func(r Record) bool { return fits(r, want) && r.Value == want.Value })
	if kept < 0 {
		kept = slices.IndexFunc(there, func(r Record) bool { return fits(r, want) })
	}
	if kept < 0 {
		return there, false
	}
	r := there[kept]
	want.ID = r.ID
	return slices.Delete(slices.Clone(there), kept, kept+1), r.Value == want.Value && (r.TTL == want.TTL || r.Kind == "TXT") && r.Odd == ""
}

func fits(r Record, want *Record) bool { return r.Kind == want.Kind && r.Line == "" && !r.Off }

// writer changes one record of a zone whose API can do no more at a time.
type writer interface {
	add(ctx context.Context, r Record) error
	update(ctx context.Context, r Record) error
	remove(ctx context.Context, r Record) error
}

// stepwise carries out a plan by single changes: first the reign, after which it is
// looked again, then the name.
func stepwise(ctx context.Context, w writer, p Plan) (done bool, err error) {
	drop, put, is, done := p.Drop, p.Address, p.Leads, true
	if !p.Reigns || len(p.Stale) > 0 {
		drop, put, is, done = p.Stale, p.Reign, p.Reigns, false
	}
	for _, r := range drop {
		if err := w.remove(ctx, r); err != nil {
			return false, err
		}
	}
	switch {
	case is:
		return done, nil
	case put.ID == "":
		return done, w.add(ctx, put)
	}
	return done, w.update(ctx, put)
}

// quoted is a text as zone files and some vendors have it.
func quoted(text string) string { return `"` + text + `"` }

func unquoted(text string) string {
	if t, ok := strings.CutPrefix(text, `"`); ok {
		return strings.TrimSuffix(t, `"`)
	}
	return text
}

// has reports whether an error is a vendor's with one of these codes.
func has(err error, codes ...string) bool {
	var f *cloudapi.Fault
	return errors.As(err, &f) && slices.Contains(codes, f.Code)
}
