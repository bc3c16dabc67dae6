package wire

import (
	"context"
	"fmt"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
)

// Replica is what every flavor tells of a server as a replica, over the one connection
// that Baton uses.
type Replica struct {
	Configured bool
	Host       string
	Port       int
	Receiver   string // No, Connecting or Yes; of MariaDB also Preparing
	Applier    string // No or Yes
	IOError    string
	SQLErrno   int
	SQLError   string
	Others     []string // named connections, which are none of ours
}

// ReceiverStopped reports that the receiver's thread is gone.
func (r Replica) ReceiverStopped() bool { return r.Receiver == "No" || !r.Configured }

// ApplierRuns reports that what was received is being applied.
func (r Replica) ApplierRuns() bool { return r.Applier == "Yes" }

// Fact puts the status in the cluster's words; received is filled in by others.
func (r Replica) Fact(nodeOf func(string, int) (cluster.NodeName, bool), semiSync bool) cluster.ReplicaFact {
	f := cluster.ReplicaFact{SemiSync: semiSync, Foreign: strings.Join(r.Others, ", ")}
	if !r.Configured {
		return f
	}
	if node, ours := nodeOf(r.Host, r.Port); ours {
		f.Source = node
	} else {
		f.Foreign = strings.Join(append([]string{fmt.Sprintf("%s:%d", r.Host, r.Port)}, r.Others...), ", ")
	}
	f.Receiver, f.Started = r.Receiver == "Yes", !r.ReceiverStopped()
	f.Applier = r.ApplierRuns()
	f.Error = r.IOError
	if r.SQLError != "" {
		f.Error = r.SQLError
	}
	return f
}

// AllApplied stops the receiver and refuses the step if anything received is not
// applied. A refusal leaves a receiver that runs as it is, unless more came in
// meanwhile. What it returns was read before what is applied: if the receiver was at
// rest then, nothing came in since.
func AllApplied[R interface{ ReceiverStopped() bool }](ctx context.Context, step string, held func(context.Context) (db.Held, R, error), stop func(context.Context) error) (R, error) {
	r, err := nothingWaits(ctx, step, held)
	if err != nil || r.ReceiverStopped() {
		return r, err
	}
	if err := stop(ctx); err != nil {
		return r, err
	}
	return nothingWaits(ctx, step, held)
}

func nothingWaits[R any](ctx context.Context, step string, held func(context.Context) (db.Held, R, error)) (R, error) {
	h, r, err := held(ctx)
	if err != nil {
		return r, err
	}
	if !h.Executed.Contains(h.Received) {
		return r, &db.UnappliedError{Step: step, Missing: h.Received.Subtract(h.Executed)}
	}
	return r, nil
}
