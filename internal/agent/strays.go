package agent

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint/vip"
)

// How often a host looks whether it has addresses that are not its own to have, and for
// how long it is shown that it had, or that somebody took them from the primary.
const (
	strayLook  = time.Second
	strayShown = time.Minute
)

// strayHost is what is asked of a host that may have addresses by somebody's hand.
type strayHost interface {
	Strays(ips []netip.Addr) ([]vip.Stray, error)
	Remove(vip.Stray) error
}

// strays takes the virtual addresses from a host that is not the primary: what somebody
// added by hand is in nobody's lease and would stay for ever. What Baton bound itself
// ends by the fence and with the lease.
type strays struct {
	host strayHost
	ips  []netip.Addr
	// undue names who leads clients instead, and in which reign; false: this host may.
	undue func() (primary cluster.NodeName, epoch cluster.Epoch, is bool)
	// fenced says that what Baton bound here is seen to elsewhere.
	fenced  bool
	removed func(context.Context, cluster.NodeName) // tells that primary
	say     func(string)
	log     *slog.Logger

	shown  map[string]cluster.Instant // what was removed, and when last
	failed string                     // what could not be removed, as it was logged
}

// undue says that a host is not to have the addresses: the record is another one's, who
// leads clients, and this host has no lease. While Baton is paused, a person may move
// them by hand.
func undue(self cluster.NodeName, r cluster.Record, leased bool) bool {
	return r.Phase == cluster.PhaseSteady && r.Primary != "" && r.Primary != self && !leased && r.Paused == nil
}

func (s *strays) run(ctx context.Context) {
	tick := time.NewTicker(strayLook)
	defer tick.Stop()
	for {
		s.look(ctx, clock.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look looks once.
func (s *strays) look(ctx context.Context, now cluster.Instant) {
	var left, gone []string
	primary, epoch, is := s.undue()
	if is {
		var err error
		if left, gone, err = s.remove(); err != nil {
			s.log.WarnContext(ctx, "look for addresses that are not due here", "err", err)
			return
		}
	}
	why := strings.Join(left, "; ")
	if why != "" && why != s.failed {
		s.log.ErrorContext(ctx, "a virtual address is not due here, and stays", "primary", primary, "epoch", epoch, "err", why)
	}
	s.failed = why
	maps.DeleteFunc(s.shown, func(_ string, at cluster.Instant) bool { return now.Sub(at) >= strayShown })
	if len(gone) > 0 {
		s.log.WarnContext(ctx, "virtual addresses that are not due here were removed: somebody had added them", "removed", gone, "primary", primary, "epoch", epoch)
		s.removed(ctx, primary)
	}
	var text []string
	if why != "" {
		text = append(text, fmt.Sprintf("%s leads clients since epoch %d, and this host cannot give up an address: %s", primary, epoch, why))
	}
	for _, what := range gone {
		if s.shown == nil {
			s.shown = map[string]cluster.Instant{}
		}
		s.shown[fmt.Sprintf("%s was here although %s leads clients since epoch %d: removed", what, primary, epoch)] = now
	}
	s.say(strings.Join(append(text, slices.Sorted(maps.Keys(s.shown))...), "; "))
}

func (s *strays) remove() (left, gone []string, err error) {
	all, err := s.host.Strays(s.ips)
	if err != nil {
		return nil, nil, err
	}
	for _, one := range all {
		if one.Marked && s.fenced {
			continue
		}
		if _, _, is := s.undue(); !is {
			return left, gone, nil // promoted meanwhile
		}
		if err := s.host.Remove(one); err != nil {
			left = append(left, err.Error())
		} else {
			gone = append(gone, one.String())
		}
	}
	return left, gone, nil
}
