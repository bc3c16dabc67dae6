package dnsserver

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// How often a secondary is told of a change that it does not confirm, and how long it
// is waited for each time, the first and the longest: a minute and a half in all.
const (
	tellings  = 8
	firstWait = time.Second
	longest   = 15 * time.Second
)

// Tell tells the secondaries of every change of the zone (NOTIFY, RFC 1996) until ctx
// ends.
func (s *Server) Tell(ctx context.Context) {
	var all sync.WaitGroup
	for i, secondary := range s.o.Secondaries {
		all.Go(func() {
			silent := false
			for {
				select {
				case <-ctx.Done():
					return
				case <-s.changes[i]:
				}
				err := s.tell(ctx, secondary, s.changes[i])
				if ctx.Err() != nil {
					return
				}
				if (err != nil) != silent { // said when it changes, not at every change of the zone
					silent = err != nil
					if silent {
						s.o.Log.Warn("a secondary name server does not take in that the zone has changed", "secondary", secondary.String(), "err", err)
					} else {
						s.o.Log.Info("a secondary name server takes in that the zone has changed", "secondary", secondary.String())
					}
				}
			}
		})
	}
	all.Wait()
}

// tell sends what is known now until it is confirmed. News make it begin anew: they
// are left in the channel for the caller.
func (s *Server) tell(ctx context.Context, secondary netip.AddrPort, news chan struct{}) (err error) {
	wait := firstWait
	for range tellings {
		call, cancel := context.WithTimeout(ctx, wait)
		if err = s.tellOnce(call, secondary); err != nil {
			<-call.Done() // a no may come at once: the pause is the same as for silence
		}
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-news:
			select {
			case news <- struct{}{}:
			default: // there are more by now
			}
			return err
		default:
		}
		wait = min(2*wait, longest)
	}
	return err
}

func (s *Server) tellOnce(ctx context.Context, secondary netip.AddrPort) error {
	c := s.now.Load()
	m := new(dns.Msg)
	m.SetNotify(c.origin)
	m.Answer = []dns.RR{c.soa}
	var dialer net.Dialer
	if s.o.From.IsValid() && s.o.From.Unmap().Is4() == secondary.Addr().Unmap().Is4() {
		dialer.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.o.From, 0))
	}
	conn, err := dialer.DialContext(ctx, "udp", secondary.String())
	if err != nil {
		return fmt.Errorf("reach the secondary: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	exchange := dns.Conn{Conn: conn}
	err = exchange.WriteMsg(m)
	for err == nil {
		var answer *dns.Msg
		if answer, err = exchange.ReadMsg(); err == nil && answer.Id == m.Id && answer.Response {
			if answer.Rcode == dns.RcodeSuccess {
				return nil
			}
			err = fmt.Errorf("it answers %s: it has to have this node among the primary servers of zone %s", dns.RcodeToString[answer.Rcode], s.o.Zone.Name)
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("tell it: %w", ctx.Err())
	}
	return err
}
