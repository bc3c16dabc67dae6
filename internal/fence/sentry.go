package fence

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
)

// Tampering says that somebody else changed the gate.
type Tampering struct {
	At       cluster.Instant // when it was noticed
	By       string          // the program that did it, as far as the kernel says: name and process id
	Repaired error           // nil if the gate is as it was wanted again
}

// Tampered reports every change of the gate that was not made through it, after
// it has been repaired. Whoever does not read it in time loses reports, never
// repairs. It is closed by Leave and Remove.
//
// Where the kernel has the owner flag (6.9), nobody can change the gate, and a
// flushed ruleset spares it: nothing is reported then.
func (g *Gate) Tampered() <-chan Tampering { return g.tampered }

// repair puts the gate back as it was last wanted; what the lease lost
// meanwhile stays lost.
func (g *Gate) repair(by string) {
	g.mu.Lock()
	err := g.reinstall(context.Background())
	g.mu.Unlock()
	t := Tampering{At: clock.Now(), By: by, Repaired: err}
	if err != nil {
		t.Repaired = fmt.Errorf("repair gate %s: %w", g.table, err)
	}
	g.log.Warn("the gate was changed by somebody else", "by", by, "repaired", err == nil, "err", err)
	select {
	case g.tampered <- t:
	default: // unread reports are dropped, the log has them
	}
}

// recheck looks at the gate itself, where notifications were lost, and repairs
// it if it is not as wanted.
func (g *Gate) recheck() {
	g.mu.Lock()
	seen, err := g.observe(context.Background())
	asWanted := err == nil && seen.asWanted(g.want, g.cfg.Scope)
	g.mu.Unlock()
	if !asWanted {
		g.repair("unknown: notifications were lost")
	}
}

// sentry listens to the kernel's notifications about changes of the rules.
type sentry struct {
	table string
	own   uint32 // the netlink port whose changes are our own
	conn  *netlink.Conn
	log   *slog.Logger
	ended chan struct{} // closed before conn is
	done  sync.WaitGroup
}

func newSentry(table string, own uint32, log *slog.Logger) (*sentry, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("listen to changes of the rules: %w", err)
	}
	if err := conn.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("listen to changes of the rules: %w", err)
	}
	// A host with many rules sends much; losing some only means to look ourselves.
	_ = conn.SetReadBuffer(1 << 20)
	return &sentry{table: table, own: own, conn: conn, log: log, ended: make(chan struct{})}, nil
}

// start calls changed for every transaction of somebody else in which our
// table was touched, and missed when notifications were lost, until stop.
func (s *sentry) start(changed func(by string), missed func()) {
	s.done.Go(func() {
		touched := false
		for {
			msgs, err := s.conn.Receive()
			select {
			case <-s.ended:
				return
			default:
			}
			switch {
			case errors.Is(err, unix.ENOBUFS):
				missed()
				continue
			case err != nil:
				s.log.Error("changes of the gate by others go unnoticed from now on", "err", err)
				return
			}
			for _, m := range msgs {
				if by, ended := s.hear(m, &touched); ended {
					changed(by)
				}
			}
		}
	})
}

// hear takes in one notification; ended says that it ends a transaction of
// somebody else's in which our table was touched.
func (s *sentry) hear(m netlink.Message, touched *bool) (by string, ended bool) {
	if m.Header.PID == s.own || m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES {
		return "", false
	}
	// NEWGEN comes last in a transaction and says whose it was.
	if m.Header.Type&0xff != unix.NFT_MSG_NEWGEN {
		*touched = *touched || s.concerns(m)
		return "", false
	}
	ended, *touched = *touched, false
	return author(m), ended
}

func (s *sentry) stop() {
	close(s.ended)
	_ = s.conn.Close()
	s.done.Wait()
}

// concerns says whether a notification is about our table: in every kind of
// message but NEWGEN, attribute 1 is the table's name.
func (s *sentry) concerns(m netlink.Message) bool {
	if len(m.Data) < 4 || m.Data[0] != unix.NFPROTO_INET {
		return false
	}
	ad, err := netlink.NewAttributeDecoder(m.Data[4:])
	if err != nil {
		return false
	}
	for ad.Next() {
		if ad.Type() == unix.NFTA_TABLE_NAME {
			return ad.String() == s.table
		}
	}
	return false
}

// author reads who made a transaction.
func author(newGen netlink.Message) string {
	if len(newGen.Data) < 4 {
		return "unknown"
	}
	ad, err := netlink.NewAttributeDecoder(newGen.Data[4:])
	if err != nil {
		return "unknown"
	}
	ad.ByteOrder = binary.BigEndian
	name, pid := "unknown", uint32(0)
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_GEN_PROC_NAME:
			name = ad.String()
		case unix.NFTA_GEN_PROC_PID:
			pid = ad.Uint32()
		}
	}
	return fmt.Sprintf("%s (process %d)", name, pid)
}
