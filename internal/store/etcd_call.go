package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// kind is what a call is for.
type kind int

const (
	reading kind = iota // changes nothing: it may be made twice
	writing             // it matters whether a call without answer was carried out
	looking             // how the store fares: to be answered without a majority too
)

// again is the pause before a call that was refused for the moment is made
// anew, once every endpoint has refused it.
const again = 5 * time.Millisecond

// do makes a call at the endpoint that answered last, and goes on to the next
// one if that one does not. It makes a call anew, within ctx, only if the store
// surely has not carried it out, or if it changes nothing.
func (e *Etcd) do(ctx context.Context, k kind, call func(context.Context, *clientv3.Client) error) error {
	for tries := 1; ; tries++ {
		n := e.at.Load()
		callCtx := ctx
		if k != looking {
			callCtx = clientv3.WithRequireLeader(ctx) // refused at once, not queued
		}
		err := call(callCtx, e.ends[int(n)%len(e.ends)].client)
		if err == nil || errors.Is(err, ErrLost) {
			return err
		}
		v := judge(err)
		if v.leave {
			e.at.CompareAndSwap(n, n+1) // unless another call already did
		}
		if !v.retry || k == writing && !v.refused || ctx.Err() != nil {
			return v.tell(ctx, k, err)
		}
		if tries >= len(e.ends) && !pause(ctx, again) {
			return v.tell(ctx, k, err)
		}
	}
}

// verdict is what an error of the client means.
type verdict struct {
	is      error // the sentinel for it, if any
	refused bool  // the call was surely not carried out
	retry   bool  // it may succeed soon, or elsewhere
	leave   bool  // the endpoint is not to be asked next
}

// dropped is what raft answers while its leader hands the leadership over.
const dropped = "raft proposal dropped"

// learner is what a member answers that has no vote yet.
var learner = rpctypes.ErrorDesc(rpctypes.ErrGRPCNotSupportedForLearner)

func judge(err error) verdict {
	s, _ := status.FromError(err)
	var known rpctypes.EtcdError
	if errors.As(err, &known) {
		s = status.New(known.Code(), known.Error())
	}
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace):
		return verdict{is: ErrNoSpace, refused: true}
	case errors.Is(err, rpctypes.ErrCompacted):
		return verdict{is: ErrCompacted, refused: true}
	case errors.Is(err, rpctypes.ErrNoLeader), strings.Contains(err.Error(), learner):
		return verdict{is: ErrNoQuorum, refused: true, retry: true, leave: true}
	case errors.Is(err, rpctypes.ErrTooManyRequests), strings.Contains(err.Error(), dropped):
		return verdict{is: ErrNoQuorum, refused: true, retry: true}
	case errors.Is(err, rpctypes.ErrStopped), errors.Is(err, clientv3.ErrNoAvailableEndpoints):
		return verdict{is: ErrClosed, leave: true}
	case s.Code() == codes.Unavailable && notSent(s.Message()):
		return verdict{is: ErrNoQuorum, refused: true, retry: true, leave: true}
	case s.Code() == codes.Unavailable, s.Code() == codes.DeadlineExceeded, errors.Is(err, context.DeadlineExceeded):
		return verdict{is: ErrNoQuorum, retry: true, leave: true}
	case s.Code() == codes.Canceled, errors.Is(err, context.Canceled):
		return verdict{}
	case s.Code() == codes.InvalidArgument, s.Code() == codes.PermissionDenied, s.Code() == codes.Unauthenticated, s.Code() == codes.ResourceExhausted:
		return verdict{refused: true}
	}
	return verdict{leave: true}
}

// notSent reports whether a call failed before any byte of it was sent: there
// was no connection, and gRPC says so in words only.
func notSent(message string) bool {
	return strings.Contains(message, "Error while dialing") || strings.Contains(message, "authentication handshake failed")
}

// tell makes of an error what callers act on.
func (v verdict) tell(ctx context.Context, k kind, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	if v.is != nil {
		err = fmt.Errorf("%w: %w", v.is, err)
	}
	if k == writing && !v.refused {
		err = fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return err
}

// pause lets d pass; false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
