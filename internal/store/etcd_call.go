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
	"google.golang.org/grpc/connectivity"
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

// connectFor is how long one endpoint is waited for where there are others.
const connectFor = time.Second

// do makes a call at the endpoint that answered last, and goes on to the next
// one if that one does not. It makes a call anew, within ctx, only if the store
// surely has not carried it out, or if it changes nothing.
func (e *Etcd) do(ctx context.Context, k kind, call func(context.Context, *clientv3.Client) error) error {
	for tries := 1; ; tries++ {
		n := e.at.Load()
		err := e.once(ctx, k, e.ends[int(n)%len(e.ends)], call)
		if err == nil || errors.Is(err, ErrLost) {
			e.warm(int(n) + 1)
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

// warm has the endpoint connected that calls go to when the one before it fails: the
// first call there is then spared a handshake, and is not sent back to one that is
// frozen because a busy machine needs longer than connectFor for it.
func (e *Etcd) warm(n int) {
	if e.local || len(e.ends) == 1 {
		return
	}
	if conn := e.ends[n%len(e.ends)].client.ActiveConnection(); conn.GetState() == connectivity.Idle {
		conn.Connect()
	}
}

// once makes a call at one endpoint. Where there are others and the call may be
// made twice, it leaves them their share of the time.
func (e *Etcd) once(ctx context.Context, k kind, at end, call func(context.Context, *clientv3.Client) error) error {
	if err := e.connect(ctx, at); err != nil {
		return err
	}
	if end, ok := ctx.Deadline(); ok && k != writing && len(e.ends) > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(len(e.ends)))
		defer cancel()
	}
	if k != looking {
		ctx = clientv3.WithRequireLeader(ctx) // without one it is refused at once, not queued
	}
	return call(ctx, at.client)
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
	case errors.Is(err, errNotConnected):
		return verdict{is: ErrNoQuorum, refused: true, retry: true, leave: true}
	case errors.Is(err, rpctypes.ErrNoSpace):
		return verdict{is: ErrNoSpace, refused: true}
	case errors.Is(err, rpctypes.ErrCompacted):
		return verdict{is: ErrCompacted, refused: true}
	case errors.Is(err, rpctypes.ErrNoLeader), strings.Contains(err.Error(), learner):
		return verdict{is: ErrNoQuorum, refused: true, retry: true, leave: true}
	case errors.Is(err, rpctypes.ErrTooManyRequests), strings.Contains(err.Error(), dropped):
		return verdict{is: ErrNoQuorum, refused: true, retry: true}
	case errors.Is(err, ErrClosed):
		return verdict{refused: true, leave: true}
	case errors.Is(err, rpctypes.ErrStopped), errors.Is(err, clientv3.ErrNoAvailableEndpoints):
		return verdict{is: ErrClosed, leave: true}
	case s.Code() == codes.Unavailable, s.Code() == codes.DeadlineExceeded, errors.Is(err, context.DeadlineExceeded):
		return verdict{is: ErrNoQuorum, retry: true, leave: true}
	case s.Code() == codes.Canceled, errors.Is(err, context.Canceled):
		return verdict{}
	case s.Code() == codes.InvalidArgument, s.Code() == codes.PermissionDenied, s.Code() == codes.Unauthenticated, s.Code() == codes.ResourceExhausted:
		return verdict{refused: true}
	}
	return verdict{leave: true}
}

// errNotConnected says that a call could not even be sent.
var errNotConnected = errors.New("no connection")

// connect sees that there is a connection to an endpoint before a call is made,
// and waits for one no longer than the endpoint's share of the time. etcd's
// client would wait to the end, and nobody could tell then whether the call was
// sent. Connecting goes on meanwhile, for the next call.
func (e *Etcd) connect(ctx context.Context, to end) error {
	if e.local {
		return nil
	}
	share := connectFor
	if end, ok := ctx.Deadline(); ok {
		share = min(share, time.Until(end)/time.Duration(len(e.ends)))
	}
	ctx, cancel := context.WithTimeout(ctx, share)
	defer cancel()
	conn := to.client.ActiveConnection()
	for {
		state := conn.GetState()
		switch state {
		case connectivity.Ready:
			return nil
		case connectivity.Shutdown:
			return ErrClosed
		case connectivity.TransientFailure:
			return fmt.Errorf("%w to %s", errNotConnected, to.url)
		}
		conn.Connect()
		if !conn.WaitForStateChange(ctx, state) {
			return fmt.Errorf("%w to %s within %s", errNotConnected, to.url, share.Round(time.Millisecond))
		}
	}
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
