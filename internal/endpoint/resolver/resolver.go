// Package resolver answers whether the resolvers that clients ask lead them where a
// name leads by now.
//
// It changes nothing, and asks as a client does. The rule: a resolver is blamed only
// once it should have forgotten what it was told before, however long it takes its
// time to.
package resolver

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
)

// Watch looks at the answers of some resolvers.
type Watch struct {
	Name      string
	Resolvers []netip.AddrPort
	// Forget is for how long they may keep an answer.
	Forget time.Duration
	// NodeOf says whose server has an address.
	NodeOf func(netip.Addr) (cluster.NodeName, bool)

	mu    sync.Mutex
	reign cluster.Epoch
	since cluster.Instant                  // when the name was first seen to lead to that reign's primary
	right map[netip.AddrPort]time.Duration // since then, until a resolver was first seen to say so
}

// early is how long resolvers are asked that may remember what was before: nobody is
// blamed yet, and nothing is to wait for one that does not answer.
const early = 200 * time.Millisecond

// Check asks all of them where the name leads, to target by now. While they may still
// remember what was before nothing is wrong with their answers. It takes no more than
// half of the time that ctx leaves.
func (w *Watch) Check(ctx context.Context, target endpoint.Target, now cluster.Instant) error {
	if len(w.Resolvers) == 0 || len(target.Addresses) == 0 {
		return nil
	}
	forgotten, known := w.forgotten(target.Epoch, now)
	if !forgotten && known {
		return nil // all of them say so already
	}
	ctx, cancel := endpoint.Share(ctx, 2)
	defer cancel()
	if !forgotten {
		soon, cancel := context.WithTimeout(ctx, early)
		defer cancel()
		ctx = soon
	}
	wrongs := make([]string, len(w.Resolvers))
	var all sync.WaitGroup
	for i, r := range w.Resolvers {
		all.Go(func() { wrongs[i] = w.wrong(ctx, r, target.Addresses[0].Unmap()) })
	}
	all.Wait()
	var said []string
	for i, wrong := range wrongs {
		if wrong != "" {
			said = append(said, wrong)
		} else {
			w.saw(w.Resolvers[i], target.Epoch, now)
		}
	}
	if len(said) == 0 || !forgotten {
		return nil
	}
	return fmt.Errorf("look at the resolvers: %s", strings.Join(said, "; "))
}

// forgotten reports whether nobody may remember the reign before any more, and whether
// all are known to lead where the name does.
func (w *Watch) forgotten(reign cluster.Epoch, now cluster.Instant) (forgotten, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if reign != w.reign {
		w.reign, w.since, w.right = reign, now, map[netip.AddrPort]time.Duration{}
	}
	return now.Sub(w.since) > w.Forget, len(w.right) == len(w.Resolvers)
}

// saw notes that a resolver leads where the name does.
func (w *Watch) saw(r netip.AddrPort, reign cluster.Epoch, now cluster.Instant) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.right[r]; !known && reign == w.reign {
		w.right[r] = now.Sub(w.since)
	}
}

// Tells says which resolvers have been seen to lead where the name does, and after how
// long.
func (w *Watch) Tells() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, r := range w.Resolvers {
		switch after, known := w.right[r]; {
		case !known:
		case after == 0:
			all = append(all, fmt.Sprintf("%s gives the new answer at once", r))
		default:
			all = append(all, fmt.Sprintf("%s gives the new answer, after at most %s", r, after.Round(time.Millisecond)))
		}
	}
	return strings.Join(all, "; ")
}

// wrong is what is wrong with the answer of one resolver; empty if nothing is.
func (w *Watch) wrong(ctx context.Context, resolver netip.AddrPort, want netip.Addr) string {
	kind := dns.TypeA
	if !want.Is4() {
		kind = dns.TypeAAAA
	}
	answer, err := ask(ctx, resolver, w.Name, kind)
	switch {
	case err != nil:
		return fmt.Sprintf("%s does not answer (%v)", resolver, err)
	case answer.Rcode != dns.RcodeSuccess:
		return fmt.Sprintf("%s answers %s", resolver, dns.RcodeToString[answer.Rcode])
	}
	var got []string
	right := false
	for _, rr := range answer.Answer {
		a := addressOf(rr)
		if !a.IsValid() {
			continue
		}
		right = a == want && len(got) == 0
		if n, known := w.NodeOf(a); known {
			got = append(got, fmt.Sprintf("%s (%s)", a, n))
		} else {
			got = append(got, a.String())
		}
	}
	switch {
	case right:
		return ""
	case len(got) == 0:
		return fmt.Sprintf("%s knows no address of %s", resolver, w.Name)
	}
	return fmt.Sprintf("%s still leads to %s, although %s was the longest that it may remember", resolver, strings.Join(got, ", "), w.Forget)
}

func addressOf(rr dns.RR) netip.Addr {
	var a netip.Addr
	switch rr := rr.(type) {
	case *dns.A:
		a, _ = netip.AddrFromSlice(rr.A)
	case *dns.AAAA:
		a, _ = netip.AddrFromSlice(rr.AAAA)
	}
	return a.Unmap()
}

// ask asks as clients do, by UDP, and by TCP where nothing comes back or not all of it.
func ask(ctx context.Context, resolver netip.AddrPort, name string, kind uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), kind)
	first, cancel := endpoint.Share(ctx, 2)
	defer cancel()
	answer, err := exchange(first, "udp", resolver, m)
	if err == nil && !answer.Truncated {
		return answer, nil
	}
	return exchange(ctx, "tcp", resolver, m)
}

func exchange(ctx context.Context, network string, resolver netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
	client := dns.Client{Net: network}
	if end, ok := ctx.Deadline(); ok {
		client.Timeout = time.Until(end) // the library's own is shorter, or longer
	}
	answer, _, err := client.ExchangeContext(ctx, m, resolver.String())
	return answer, err
}
