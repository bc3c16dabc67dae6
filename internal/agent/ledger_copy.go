package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/ledger"
)

// follow keeps a copy of another node's ledger until ctx ends.
func (k *clients) follow(ctx context.Context, primary cluster.NodeName) {
	heard := time.Now()
	defer k.upset("")
	again := backoff{first: ledgerRetry, longest: ledgerRetryMost}
	for {
		took, err := k.copyFrom(ctx, primary)
		if ctx.Err() != nil {
			return
		}
		if took {
			again.reset()
			heard = time.Now()
		}
		wait := again.pause()
		k.log.Debug("the ledger of the clients' connections is not kept up", "of", primary, "err", err, "again_in", wait)
		if age := time.Since(heard); age >= ledgerSilence {
			k.upset(fmt.Sprintf("nothing of the connections of %s for %s: %v", primary, age.Round(time.Second), err))
		}
		if !waited(ctx, wait) {
			return
		}
	}
}

var (
	errNotLeading = errors.New("it does not lead as yet")
	errMute       = errors.New("it said nothing for too long")
)

// copyFrom copies for as long as the stream lasts. took says that it brought
// something.
func (k *clients) copyFrom(ctx context.Context, primary cluster.NodeName) (took bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	mute := time.AfterFunc(ledgerSilence, func() { cancel(errMute) })
	defer mute.Stop()
	said := func(err error) error {
		if errors.Is(context.Cause(ctx), errMute) {
			return errMute
		}
		return err
	}
	stream, err := k.stream(ctx, primary)
	if err != nil {
		return false, said(err)
	}
	defer stream.Close()
	fresh := ledger.NewCopy(k.limit)
	for in := bufio.NewReader(stream); ; {
		frame, err := ledger.ReadFrame(in)
		if errors.Is(err, io.EOF) {
			err = errNotLeading
		}
		if err != nil {
			return took, said(err)
		}
		mute.Reset(ledgerSilence)
		k.take(fresh, primary, frame)
		if !frame.More && !took {
			took = true
			k.upset("")
		}
	}
}

// take takes in a frame. A copy counts once it is whole.
func (k *clients) take(fresh *ledger.Copy, primary cluster.NodeName, f ledger.Frame) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if fresh.Apply(f, clock.Now()); !f.More {
		k.copy, k.of = fresh, primary
	}
}

// upset says why the copy is not kept up; empty: it is.
func (k *clients) upset(why string) {
	k.mu.Lock()
	was := k.trouble
	k.trouble = why
	k.mu.Unlock()
	if why != was {
		k.raise(cluster.LedgerStale, why)
	}
}

// copyOf is whose connections are known here from a copy; empty: nobody's.
func (k *clients) copyOf() cluster.NodeName {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.of
}

// takeOut returns the copy, which is nobody's then.
func (k *clients) takeOut() inherited {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.copy == nil {
		return inherited{}
	}
	i := inherited{of: k.of, State: k.copy.State()}
	k.copy, k.of = nil, ""
	return i
}

// inherited are the connections of a node that does not lead any more.
type inherited struct {
	of cluster.NodeName
	ledger.State
}
