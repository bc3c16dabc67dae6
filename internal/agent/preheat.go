package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/peer"
)

// heated is a server whose buffer pool can be listed and read.
type heated interface {
	DumpPool(ctx context.Context, percent int) (file string, err error)
	PoolFile(ctx context.Context) (string, error)
	Tablespaces(ctx context.Context) (map[uint32]string, error)
	LoadPool(ctx context.Context) error
}

// preheater has this server, as a replica, read the pages that the primary uses, so
// that it has them in memory when it is promoted. It only does so while nothing
// goes on: from the moment on at which this node sees a switch begin, the server
// reads for nobody but its clients.
type preheater struct {
	self   cluster.NodeName
	server heated
	config func() config.Preheat
	ask    func(ctx context.Context, n cluster.NodeName) (io.ReadCloser, error) // the primary's list
	say    func(string)                                                         // what came of it, for people
	log    *slog.Logger

	mu      sync.Mutex
	record  cluster.Record
	stop    context.CancelCauseFunc // ends a load that is under way; nil: there is none
	dumped  pages                   // by this server, as the primary
	dumpAt  cluster.Instant
	dumping sync.Mutex
}

var errSwitchBegins = errors.New("a switch begins")

// dumpLimit is how long a primary may take to list its pages.
const dumpLimit = 10 * time.Second

// pagesPath is where a replica asks the primary for the pages that it uses.
const pagesPath = "pages"

// saw takes in the record, and ends a load that does not fit it any more.
func (p *preheater) saw(r cluster.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.record = r
	if p.stop != nil && !p.wanted(r) {
		p.stop(errSwitchBegins)
	}
}

// wanted reports whether this node is a replica in a steady reign.
func (p *preheater) wanted(r cluster.Record) bool {
	return r.Phase == cluster.PhaseSteady && r.Primary != "" && r.Primary != p.self && r.RejoinOf(p.self) == nil
}

// off is how often it is looked whether preheating has been switched on.
const off = 10 * time.Second

// run preheats again and again until ctx ends.
func (p *preheater) run(ctx context.Context) {
	next := time.NewTimer(off)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		every := p.config().Every
		if every == 0 {
			next.Reset(off)
			continue
		}
		next.Reset(every)
		p.once(ctx, every)
	}
}

// once preheats if this is the time for it. It takes no longer than limit.
func (p *preheater) once(ctx context.Context, limit time.Duration) {
	ctx, done := context.WithTimeout(ctx, limit)
	defer done()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	p.mu.Lock()
	from, wanted := p.record.Primary, p.wanted(p.record)
	if wanted {
		p.stop = stop
	}
	p.mu.Unlock()
	if !wanted {
		return
	}
	defer func() {
		p.mu.Lock()
		p.stop = nil
		p.mu.Unlock()
	}()
	begun := clock.Now()
	n, err := p.heat(ctx, from)
	took := clock.Now().Sub(begun).Round(time.Millisecond)
	switch {
	case errors.Is(context.Cause(ctx), errSwitchBegins):
		p.say("stopped, for a switch began")
		p.log.Info("preheating was stopped: a switch begins", "after", took)
	case err != nil:
		p.say(err.Error())
		p.log.Warn("preheat with what the primary uses", "primary", from, "err", err)
	default:
		p.say(fmt.Sprintf("%d pages that %s uses", n, from))
		p.log.Debug("preheated", "primary", from, "pages", n, "took", took)
	}
}

func (p *preheater) heat(ctx context.Context, from cluster.NodeName) (int, error) {
	answer, err := p.ask(ctx, from)
	if err != nil {
		return 0, err
	}
	defer answer.Close()
	used, err := receivedPages(answer)
	if err != nil {
		return 0, fmt.Errorf("read which pages %s uses: %w", from, err)
	}
	names, err := p.server.Tablespaces(ctx)
	if err != nil {
		return 0, err
	}
	file, err := p.server.PoolFile(ctx)
	if err != nil {
		return 0, err
	}
	n, err := writeList(file, used, names)
	if err != nil || n == 0 {
		return n, err
	}
	return n, p.server.LoadPool(ctx)
}

// writeList puts a list of pages where the server reads it, as a file of the one
// who owns the directory.
func writeList(file string, used pages, names map[uint32]string) (n int, err error) {
	dir, err := os.Stat(filepath.Dir(file))
	if err != nil {
		return 0, fmt.Errorf("list the pages to be read: %w", err)
	}
	fresh := file + ".baton"
	f, err := os.OpenFile(fresh, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o640)
	if err != nil {
		return 0, fmt.Errorf("list the pages to be read: %w", err)
	}
	n, err = used.list(f, names)
	if owner, ok := dir.Sys().(*syscall.Stat_t); ok && err == nil {
		err = f.Chown(int(owner.Uid), int(owner.Gid))
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(fresh, file)
	}
	if err != nil {
		return 0, fmt.Errorf("list the pages to be read: %w", errors.Join(err, os.Remove(fresh)))
	}
	return n, nil
}

// answer has this node, as the primary, tell which pages it uses.
func (p *preheater) answer(link *peer.Link) {
	link.HandleStream(pagesPath, func(ctx context.Context, _ cluster.NodeName, _ []byte, w io.Writer) error {
		used, err := p.used(ctx)
		if err != nil {
			return err
		}
		return used.send(w)
	})
}

// used lists the pages that this server has used last. Several replicas that ask
// shortly after each other get the same list.
func (p *preheater) used(ctx context.Context) (pages, error) {
	p.dumping.Lock()
	defer p.dumping.Unlock()
	c := p.config()
	p.mu.Lock()
	r, known, age := p.record, p.dumped, clock.Now().Sub(p.dumpAt)
	p.mu.Unlock()
	switch {
	case c.Every == 0:
		return nil, errors.New("preheat.every is not set here")
	case r.Phase != cluster.PhaseSteady || r.Primary != p.self:
		return nil, errors.New("this is not the primary of a steady reign")
	case known != nil && age < c.Every/2:
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, dumpLimit)
	defer cancel()
	file, err := p.server.DumpPool(ctx, c.Percent)
	if err != nil {
		return nil, err
	}
	names, err := p.server.Tablespaces(ctx)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the list of pages: %w", err)
	}
	defer f.Close()
	used, err := listedPages(f, names)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.dumped, p.dumpAt = used, clock.Now()
	p.mu.Unlock()
	return used, nil
}
