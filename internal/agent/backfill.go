package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/audit"
	"github.com/baton-db/baton/internal/backfill"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/peer"
)

// logKeeper gives what the binary log of this host's dead server holds to the agent
// that is to be primary. While it does, the server is not started: it would recover,
// and may drop the end.
type logKeeper struct {
	flavor  string
	where   func() (logsAt, error) // its logs are; it cannot be asked any more
	process *serverProcess
	record  func() cluster.Record
	log     *slog.Logger

	reading sync.Mutex // held while the log is read, and while the server is started

	mu  sync.Mutex
	had gtid.Set // as the server was seen last
}

// tailPath is where the agent of a dead server is asked for what its log holds.
const tailPath = "backfill"

// tailAsked is what is asked.
type tailAsked struct {
	Epoch cluster.Epoch `json:"epoch"` // that the one who asks is primary of
	Have  gtid.Set      `json:"have,omitzero"`
	Limit time.Duration `json:"limit"` // after which it listens no more
}

// saw takes in a reading of the server.
func (k *logKeeper) saw(s cluster.ServerFact) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.had = s.Executed
}

// theLog is the log as it lies there.
func (k *logKeeper) theLog() (backfill.Log, error) {
	at, err := k.where()
	if err != nil {
		return backfill.Log{}, fmt.Errorf("find the binary log of the dead server: %w", err)
	}
	files, err := audit.LogsBeside(at.Log)
	if err != nil {
		return backfill.Log{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return backfill.Log{Flavor: k.flavor, Files: files, Had: k.had}, nil
}

// starting starts the server, unless its log is being read.
func (k *logKeeper) starting(start func() error) error {
	if !k.reading.TryLock() {
		return errors.New("the server is not started yet: its binary log is being read for the new primary")
	}
	defer k.reading.Unlock()
	return start()
}

// Limits of giving a log.
const (
	dying     = 300 * time.Millisecond // how long a server that is being killed may seem to live
	lookDying = 5 * time.Millisecond
)

// give writes what the log holds and the one who asks lacks.
func (k *logKeeper) give(ctx context.Context, from cluster.NodeName, q tailAsked, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, q.Limit)
	defer cancel()
	if r := k.record(); r.Epoch > q.Epoch || r.Epoch == q.Epoch && r.Primary != from {
		return fmt.Errorf("at epoch %d %s is not the one to be primary any more", q.Epoch, from)
	}
	if !k.reading.TryLock() {
		return errors.New("the server is being started, or its log read for another")
	}
	defer k.reading.Unlock()
	if err := k.awaitDeath(ctx); err != nil {
		return err
	}
	log, err := k.theLog()
	if err != nil {
		return err
	}
	k.log.Info("the binary log of the dead server is read", "for", from, "have", q.Have.String(), "files", len(log.Files))
	if err := log.Send(ctx, q.Have, w); err != nil {
		return err
	}
	if !k.process.Gone() {
		return errors.New("the server was started meanwhile")
	}
	return nil
}

// awaitDeath returns once no process has the log open any more.
func (k *logKeeper) awaitDeath(ctx context.Context) error {
	look := time.NewTicker(lookDying)
	defer look.Stop()
	late := time.NewTimer(dying)
	defer late.Stop()
	for !k.process.Gone() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until the server's process is gone: %w", ctx.Err())
		case <-late.C:
			if k.process.Alive() {
				return errors.New("its server runs")
			}
		case <-look.C:
		}
	}
	return nil
}

// answer registers what the other agents may ask of this one for a back-fill.
func (k *logKeeper) answer(link *peer.Link) {
	link.HandleStream(tailPath, peer.Ask(k.give))
}
