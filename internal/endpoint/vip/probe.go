package vip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
)

// Finding is what a duplicate-address probe found.
type Finding struct {
	Owner net.HardwareAddr // who answers for the address; nil: nobody
	At    cluster.Instant  // when the probe ended
	Took  time.Duration
}

// Findings are the results of one Probe. An address that could not be probed is
// not among them.
type Findings map[netip.Addr]Finding

// Probe asks the neighbours, for all addresses at once, whether another host
// answers for them. It changes nothing, here or elsewhere, and may run while
// the promotion does. An answer comes from the owner's kernel: it says that the
// owner still has the address, not that its server or agent is alive, and no
// answer says nothing about an owner that cannot be reached.
//
// An address that this host holds is not asked for. The error joins those of
// the addresses that could not be probed.
func (s *Set) Probe(ctx context.Context) (Findings, error) {
	found := Findings{}
	errs := make([]error, len(s.cfg.Addresses))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, a := range s.cfg.Addresses {
		wg.Go(func() {
			f, err := s.probe(ctx, a)
			err = errors.Join(err, s.prepare(a))
			if err != nil {
				errs[i] = fmt.Errorf("probe for an owner of %s: %w", a, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			found[a.IP] = f
		})
	}
	wg.Wait()
	return found, errors.Join(errs...)
}

// probe takes ProbeWait unless somebody answers. The question goes out three
// times in it, so that one lost frame does not hide an owner.
func (s *Set) probe(ctx context.Context, a Address) (Finding, error) {
	began := clock.Now()
	l, err := s.kernel.usable(a.Interface)
	if err != nil {
		return Finding{}, err
	}
	if l.lo {
		return Finding{At: clock.Now()}, ctx.Err() // there are no neighbours
	}
	wait, cancel := context.WithTimeout(ctx, s.cfg.ProbeWait)
	defer cancel()
	owner, err := s.ask(wait, l, a.IP, question(a.IP, l.mac, netip.Addr{}), s.cfg.ProbeWait/3)
	if err == nil && owner == nil {
		err = ctx.Err() // cut short is not "nobody answered"
	}
	if err != nil {
		return Finding{}, err
	}
	now := clock.Now()
	return Finding{Owner: owner, At: now, Took: now.Sub(began)}, nil
}

// Ask returns the link-layer address that a neighbour on that interface would
// learn for ip: the first that somebody answers with. It is how another node
// verifies where clients are led, and it changes nobody's entry for ip. A host
// does not answer itself. When nobody answers within Config.AskWait the error
// is ErrNobody; a context that ends sooner is the error itself.
func (s *Set) Ask(ctx context.Context, ifname string, ip netip.Addr) (net.HardwareAddr, error) {
	l, err := s.kernel.usable(ifname)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", ip, err)
	}
	if l.lo {
		return nil, fmt.Errorf("ask for %s on %s: %w", ip, ifname, ErrNobody) // there are no neighbours
	}
	var asker netip.Addr
	if ip.Is6() {
		if asker, err = s.kernel.linkLocal(l.index); err != nil {
			return nil, fmt.Errorf("ask for %s: %w", ip, err)
		}
	}
	wait, cancel := context.WithTimeout(ctx, s.cfg.AskWait)
	defer cancel()
	mac, err := s.ask(wait, l, ip, question(ip, l.mac, asker), 20*time.Millisecond)
	switch {
	case err != nil:
		return nil, err
	case mac != nil:
		return mac, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("ask for %s on %s: %w", ip, ifname, ctx.Err())
	}
	return nil, fmt.Errorf("ask for %s on %s: %w", ip, ifname, ErrNobody)
}
