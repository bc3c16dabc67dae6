package vip

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/clock"
)

// change is one thing that the kernel's configuration became.
type change struct {
	link link       // of an interface; its name is empty otherwise
	gone netip.Addr // an address that was removed
	// missed says that notifications were lost, so that everything may have
	// changed.
	missed bool
}

// subscription is the kernel's notifications about links and addresses.
type subscription struct{ socket *nl.NetlinkSocket }

func (s *Set) subscribe() (subscription, error) {
	socket, err := nl.SubscribeAt(s.ns, netns.None(), unix.NETLINK_ROUTE,
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	return subscription{socket}, err
}

func (w subscription) close() { w.socket.Close() }

// read hands on the changes until the context ends or the socket is closed.
func (w subscription) read(ctx context.Context, to chan<- change, log *slog.Logger) {
	hand := func(c change) {
		select {
		case to <- c:
		case <-ctx.Done():
		}
	}
	for ctx.Err() == nil {
		msgs, from, err := w.socket.Receive()
		switch {
		case errors.Is(err, os.ErrClosed) || ctx.Err() != nil:
			return
		case errors.Is(err, unix.ENOBUFS):
			hand(change{missed: true})
			continue
		case err != nil:
			log.WarnContext(ctx, "watch the interfaces of virtual addresses", "err", err)
			return
		case from.Pid != nl.PidKernel:
			continue // any process may send to us
		}
		for _, m := range msgs {
			switch m.Header.Type {
			case unix.RTM_NEWLINK, unix.RTM_DELLINK:
				head := unix.NlMsghdr(m.Header)
				if l, err := netlink.LinkDeserialize(&head, m.Data); err == nil {
					hand(change{link: linkOf(l)})
				}
			case unix.RTM_DELADDR:
				if a, ok := parseAddress(m.Data); ok {
					hand(change{gone: a.prefix.Addr()})
				}
			}
		}
	}
}

// observe looks at the kernel where a change concerns us. It never believes the
// notification itself: the kernel may have gone on since.
func (r *runner) observe(ctx context.Context, c change) {
	if c.link.name != "" || c.missed {
		for _, name := range r.cfg.interfaces() {
			if c.missed || c.link.name == name {
				r.observeLink(ctx, name)
			}
		}
	}
	if c.gone.IsValid() || c.missed {
		for _, a := range r.cfg.Addresses {
			if c.missed || c.gone == a.IP {
				r.observeGone(ctx, a)
			}
		}
	}
}

func (r *runner) observeLink(ctx context.Context, name string) {
	l, err := r.kernel.link(name)
	works := err == nil && l.up && l.carrier
	worked, seen := r.carrier[name]
	r.carrier[name] = works
	if err == nil {
		r.refreshLink(l)
	}
	r.listenAgain(ctx)
	if seen && works == worked {
		return
	}
	e := Event{Kind: CarrierLost, Address: Address{Interface: name}, At: clock.Now()}
	if works {
		e.Kind = CarrierBack
		if n, err := r.kernel.remind(l.index, r.neighbours[name]); err != nil {
			r.log.WarnContext(ctx, "neighbours after a lost carrier", "interface", name, "err", err)
		} else if n > 0 {
			r.log.InfoContext(ctx, "neighbours after a lost carrier", "interface", name, "known_again", n)
		}
		if err := r.reannounce(func(h *holding) bool { return h.Interface == name }); err != nil {
			r.log.WarnContext(ctx, "announce virtual addresses", "err", err)
		}
	}
	if seen || !works {
		r.log.InfoContext(ctx, "carrier of an interface with virtual addresses", "interface", name, "carrier", works)
		r.emit(e)
	}
}

// refreshLink follows a change of the interface's own link-layer address.
func (r *runner) refreshLink(l link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.held {
		if h.on.index == l.index && h.on.mac.String() != l.mac.String() {
			if h.link.index == l.index {
				h.link = l
			}
			h.on = l
			h.begin(clock.Now())
		}
	}
}

// observeGone forgets a held address that the kernel does not have any more. If
// it has it again, neighbours may have learnt otherwise meanwhile.
func (r *runner) observeGone(ctx context.Context, a Address) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.held[a.IP]
	if h == nil || h.sent < 0 {
		return
	}
	p, err := r.kernel.find(a, h.link.index)
	switch {
	case err != nil:
		r.log.WarnContext(ctx, "look for a virtual address", "address", a.IP, "err", err)
	case p == nil || !r.kernel.mark.owns(*p):
		delete(r.held, a.IP)
		r.log.WarnContext(ctx, "a virtual address is gone from the host", "address", a.IP)
		if err := r.lowerLocked(a); err != nil {
			r.log.WarnContext(ctx, "remove the interface of a virtual address that is gone", "err", err)
		}
		r.emit(Event{Kind: AddressLost, Address: a, At: clock.Now()})
	default:
		h.begin(clock.Now())
		if err := r.announceLocked(h); err != nil {
			r.log.WarnContext(ctx, "announce virtual addresses", "err", err)
		}
	}
}

func isDown(err error) bool { return errors.Is(err, unix.ENETDOWN) || errors.Is(err, unix.ENODEV) }
