package store

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Watch implements Backend.
func (e *Etcd) Watch(ctx context.Context, prefix string, after cluster.Revision) <-chan Events {
	out := make(chan Events)
	go func() {
		defer close(out)
		if err := e.follow(ctx, prefix, after, out); err != nil {
			select {
			case out <- Events{Err: err}:
			case <-ctx.Done():
			}
		}
	}()
	return out
}

// follow hands on what an endpoint reports, and says why that ended.
func (e *Etcd) follow(ctx context.Context, prefix string, after cluster.Revision, out chan<- Events) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	n := e.at.Load()
	end := e.ends[int(n)%len(e.ends)]
	in := end.client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(int64(after)+1), clientv3.WithCreatedNotify())
	silence := e.newSilence()
	defer silence.stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-silence.over():
			if !silence.ask(ctx, end.client) {
				e.at.CompareAndSwap(n, n+1)
				return fmt.Errorf("nothing was heard from %s for %s", end.url, 2*e.silence)
			}
		case resp, ok := <-in:
			silence.heard()
			events, err := understand(resp, ok, after)
			if err != nil {
				v := judge(err)
				if v.leave {
					e.at.CompareAndSwap(n, n+1)
				}
				return v.tell(ctx, reading, err)
			}
			if events.At == 0 {
				continue
			}
			after = events.At
			select {
			case out <- events:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// understand reads one answer of a watch after a revision. At 0: it has no news.
func understand(resp clientv3.WatchResponse, open bool, after cluster.Revision) (Events, error) {
	if !open {
		return Events{}, ErrClosed
	}
	if err := resp.Err(); err != nil {
		return Events{}, err
	}
	switch {
	case resp.Created && resp.Header != nil && resp.Header.Revision > 0 && cluster.Revision(resp.Header.Revision) < after:
		// It would wait for ever: this store has never been as far as that.
		return Events{}, fmt.Errorf("the store is at revision %d and was seen at %d: it lags behind, or was made anew", resp.Header.Revision, after)
	case resp.Created:
		return Events{}, nil
	case resp.IsProgressNotify():
		return Events{At: max(after, cluster.Revision(resp.Header.Revision))}, nil
	}
	events := Events{At: after}
	for _, ev := range resp.Events {
		rev := cluster.Revision(ev.Kv.ModRevision)
		events.At = max(events.At, rev)
		events.Changes = append(events.Changes, Event{
			KV:      KV{Key: string(ev.Kv.Key), Value: ev.Kv.Value, Rev: rev},
			Deleted: ev.Type == clientv3.EventTypeDelete,
		})
	}
	return events, nil
}

// silence notices an endpoint that says nothing. A watch on a frozen host looks
// like one to which nothing happens, so after a while it is asked.
type silence struct {
	limit time.Duration // 0: nobody to be silent
	timer *time.Timer
	asked bool
}

func (e *Etcd) newSilence() *silence {
	if e.local {
		return &silence{}
	}
	return &silence{limit: e.silence, timer: time.NewTimer(e.silence)}
}

func (s *silence) over() <-chan time.Time {
	if s.timer == nil {
		return nil
	}
	return s.timer.C
}

func (s *silence) heard() {
	if s.timer != nil {
		s.asked = false
		s.timer.Reset(s.limit)
	}
}

// ask asks for a sign of life; false if one has been asked for and not come.
func (s *silence) ask(ctx context.Context, c *clientv3.Client) bool {
	if s.asked {
		return false
	}
	s.asked = true
	s.timer.Reset(s.limit)
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	return c.RequestProgress(ctx) == nil
}

func (s *silence) stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
}
