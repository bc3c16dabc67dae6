package fence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
)

// Mode says who passes the gate besides the cluster's own nodes.
type Mode string

// The modes of a gate.
const (
	Missing  Mode = "missing"   // there is no gate, or not the whole of it: everybody passes
	Closed   Mode = "closed"    // nobody
	ReadOnly Mode = "read-only" // clients, without end, because the server is verifiably read-only
	Leased   Mode = "leased"    // clients, until the lease ends
)

// Close closes the gate: clients' packets are answered by a reset, the
// server's answers are dropped. A context that is done does not keep it open.
// On an error the gate may still be open until its lease ends.
func (g *Gate) Close(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closeLocked(ctx)
}

func (g *Gate) closeLocked(ctx context.Context) error {
	g.want.mode, g.want.until = Closed, 0
	return g.apply(context.WithoutCancel(ctx), "close")
}

// OpenReadOnly opens the gate without end. Only for a server whose read_only
// has been read back.
func (g *Gate) OpenReadOnly(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("open gate %s read-only: %w", g.table, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.want.mode, g.want.until = ReadOnly, 0
	return g.apply(ctx, "open read-only")
}

// OpenUntil opens the gate, or keeps it open, until the lease ends on this
// host's boot clock. This is the renewal path: one system call to tell the
// kernel and one to hear that it is in force.
//
// The kernel gets the end of the lease in two independent forms, and a client
// passes only while both hold:
//
//   - relative: the set element's timeout, on the kernel's own ticks. It cannot
//     be moved by the wall clock, but if this process is stopped between
//     computing what is left and the kernel's hearing of it, it starts late.
//   - absolute: `meta time < X` in chain "until", on the wall clock, X computed
//     from the wall clock and the boot clock read together. A late start does
//     not move it. If the wall clock is set back afterwards it ends late; if it
//     is set forward the gate closes early and the next renewal mends that.
//     The wall clock is read first: a stop between the two readings makes X
//     earlier, never later.
//
// So the gate is open too long only if the process is stopped inside this call
// and the wall clock is set back within the same lease; and even then the boot
// clock is read again as soon as the process goes on, and the gate closed.
//
// The kernel rounds the timeout down to its tick (4 ms at 250 Hz), and a clock
// that is slewed (chrony: by up to a twelfth) bends the absolute end by as much.
// Suspending the machine stops the timeout but not the wall clock. A hypervisor
// that pauses it may stop both: docs/safety.md.
//
// It returns ErrLate, and the gate is closed, if the lease has ended meanwhile.
func (g *Gate) OpenUntil(ctx context.Context, end cluster.Instant) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("open gate %s for the lease: %w", g.table, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.want.mode, g.want.until = Leased, end
	if _, _, ok := kernelBounds(end); !ok {
		return g.late(ctx, end)
	}
	if err := g.apply(ctx, "open for the lease"); err != nil {
		return err
	}
	if clock.Now() >= end {
		return g.late(ctx, end)
	}
	return nil
}

func (g *Gate) late(ctx context.Context, end cluster.Instant) error {
	over := clock.Now().Sub(end)
	err := fmt.Errorf("open gate %s: %w: it ended %v ago", g.table, ErrLate, over)
	if closeErr := g.closeLocked(ctx); closeErr != nil {
		return errors.Join(err, closeErr)
	}
	return err
}

// kernelBounds turns the end of the lease into what the kernel is told; ok is
// false if not even a millisecond is left.
func kernelBounds(end cluster.Instant) (timeout time.Duration, wallEnd time.Time, ok bool) {
	wall := time.Now() // before the boot clock, see OpenUntil
	left := end.Sub(clock.Now())
	return left.Truncate(time.Millisecond), wall.Add(left), left >= time.Millisecond
}

// apply tells the kernel the wanted mode. If somebody has removed the table a
// moment ago, the whole of it is put back.
func (g *Gate) apply(ctx context.Context, doing string) error {
	b := newBatch(g.table)
	b.flushSet(setOpen)
	b.flushRules(chainUntil)
	g.addMode(b)
	err := b.commit(ctx, g.nft)
	if errors.Is(err, unix.ENOENT) {
		err = g.reinstall(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: gate %s: %w", doing, g.table, err)
	}
	return nil
}

// addMode adds the wanted mode to a transaction in which chain "until" and set
// "open" are empty.
func (g *Gate) addMode(b *batch) {
	switch g.want.mode {
	case ReadOnly:
		g.addOpen(b, ReadOnly, 0, time.Time{})
	case Leased:
		if timeout, end, ok := kernelBounds(g.want.until); ok {
			g.addOpen(b, Leased, timeout, end)
		}
	}
}

func (g *Gate) addOpen(b *batch, m Mode, timeout time.Duration, end time.Time) {
	b.addElements(setOpen, openElement(timeout))
	for _, r := range untilRules(m, end) {
		b.addRule(r)
	}
}

// reinstall puts the whole table into place as it is wanted now.
func (g *Gate) reinstall(ctx context.Context) error {
	info, err := findTable(ctx, g.nft, g.table)
	if err != nil {
		return fmt.Errorf("look for the table: %w", err)
	}
	return g.install(ctx, info.present)
}
