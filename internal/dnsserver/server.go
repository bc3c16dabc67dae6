package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/netutil"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
)

// Options say what is served, and to whom.
type Options struct {
	Zone Zone
	// Secondaries are the servers that may transfer the zone, and that are told when
	// it has changed.
	Secondaries []netip.AddrPort
	// From is the address that secondaries of its family are told from; invalid: any of
	// this host.
	From netip.Addr
	Log  *slog.Logger
	// Now reads this host's clock; nil: clock.Now.
	Now func() cluster.Instant
}

// Server answers from the snapshot that it was given last.
type Server struct {
	o       Options
	now     atomic.Pointer[contents] // nil: nothing is known yet
	tally   tally
	pace    pace
	changes []chan struct{} // one for each secondary
}

// New makes a server that knows nothing yet. It starts nothing.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = clock.Now
	}
	s := &Server{o: o, tally: tally{log: o.Log, now: o.Now}}
	for range o.Secondaries {
		s.changes = append(s.changes, make(chan struct{}, 1))
	}
	return s
}

// Know has the server answer from a snapshot from now on. It is called by one
// goroutine, and waits for nobody.
func (s *Server) Know(what Snapshot) {
	before := s.now.Load()
	if before != nil && before.of.Serial == what.Serial {
		same := *before
		same.of = &what
		s.now.Store(&same)
		return
	}
	s.now.Store(s.o.Zone.contents(&what))
	for _, c := range s.changes {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Known is the snapshot that answers are given from; nil if there is none yet.
func (s *Server) Known() *Snapshot {
	if c := s.now.Load(); c != nil {
		return c.of
	}
	return nil
}

// mostConnections bounds those by TCP at a time, on one address.
const mostConnections = 256

// Serve answers on an address, by UDP and TCP, until ctx ends or one of the two fails.
// listening is called once both are open.
func (s *Server) Serve(ctx context.Context, address string, listening func()) error {
	doing := fmt.Sprintf("answer DNS on %s", address)
	packets, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", address)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	// The same port, also where the kernel has chosen it.
	streams, err := (&net.ListenConfig{}).Listen(ctx, "tcp", packets.LocalAddr().String())
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", doing, err), packets.Close())
	}
	defer packets.Close()
	defer streams.Close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	reader := func(r dns.Reader) dns.Reader { return paced{r, s} }
	byUDP := &dns.Server{PacketConn: packets, Handler: s.handler(false), DecorateReader: reader}
	byTCP := &dns.Server{Listener: netutil.LimitListener(streams, mostConnections), Handler: s.handler(true), DecorateReader: reader}
	var all sync.WaitGroup
	ended := make(chan error, 2)
	for _, server := range []*dns.Server{byUDP, byTCP} {
		started, over := make(chan struct{}), make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		all.Go(func() {
			defer stop()
			defer close(over)
			ended <- server.ActivateAndServe()
		})
		all.Go(func() {
			<-ctx.Done()
			select {
			case <-started: // one that has not started cannot be stopped
				_ = server.Shutdown()
			case <-over:
			}
		})
	}
	s.o.Log.Info("answering DNS", "address", packets.LocalAddr().String(), "zone", s.o.Zone.Name)
	listening()
	all.Wait()
	if err := errors.Join(<-ended, <-ended); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

func (s *Server) handler(tcp bool) dns.Handler {
	return dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		from := addressOf(w.RemoteAddr())
		m, why := s.o.Zone.answer(asked{msg: q, tcp: tcp, secondary: s.isSecondary(from), at: s.o.Now()}, s.now.Load())
		if why != "" {
			s.tally.count(why, from, q)
		}
		_ = w.WriteMsg(m) // who has gone needs no answer
	})
}

func (s *Server) isSecondary(a netip.Addr) bool {
	for _, other := range s.o.Secondaries {
		if other.Addr().Unmap() == a {
			return true
		}
	}
	return false
}

// tally has the questions that were not answered logged, one line a minute at most.
type tally struct {
	log *slog.Logger
	now func() cluster.Instant

	mu     sync.Mutex
	said   cluster.Instant // when the last line was written; 0: none was
	counts map[refusal]int
}

const tellEvery = time.Minute

func (t *tally) count(why refusal, from netip.Addr, q *dns.Msg) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[refusal]int{}
	}
	t.counts[why]++
	now := t.now()
	if t.said != 0 && now.Sub(t.said) < tellEvery {
		return
	}
	args := []any{"last_from", from.String(), "last_asked", inWords(q), "last_why", string(why)}
	for why, n := range t.counts {
		args = append(args, string(why), n)
	}
	t.log.Warn("DNS questions were not answered", args...)
	t.said, t.counts = now, nil
}
