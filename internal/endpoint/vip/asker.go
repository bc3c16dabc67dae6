package vip

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
)

// Asker asks what a network looks like from here, without any address to hold:
// whether an interface has its carrier, and whether a neighbour answers.
type Asker struct{ set *Set }

// NewAsker opens what it takes. Of cfg only AskWait and Namespace matter.
// Close it.
func NewAsker(cfg Config, log *slog.Logger) (*Asker, error) {
	s, err := open(cfg.withDefaults(), log)
	if err != nil {
		return nil, fmt.Errorf("open the sockets to ask neighbours: %w", err)
	}
	return &Asker{s}, nil
}

// Close releases the sockets.
func (a *Asker) Close() error { return a.set.Close() }

// Carrier reports whether an interface is up and has its carrier.
func (a *Asker) Carrier(ifname string) (bool, error) {
	l, err := a.set.kernel.link(ifname)
	return err == nil && l.up && l.carrier, err
}

// Ask is Set.Ask: ARP, or neighbour discovery, which a host answers that drops
// every ICMP echo.
func (a *Asker) Ask(ctx context.Context, ifname string, ip netip.Addr) (net.HardwareAddr, error) {
	return a.set.Ask(ctx, ifname, ip)
}
