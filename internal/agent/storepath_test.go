package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A pathStory is a path whose network is gone and whose store is quiet for a
// while, counted from the start.
type pathStory struct {
	gone, quiet time.Duration
	refuses     bool // a try fails at once while the network is gone; otherwise it is lost
}

// watchPath runs the watch over such a path for two seconds. It returns when, and
// of what silence, connections were reset, and how often the path was tried.
func watchPath(t *testing.T, s pathStory) (at, silent []time.Duration, tries int64) {
	var tried atomic.Int64
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		p := &storePath{
			node: "db2", log: slog.New(slog.DiscardHandler),
			after: 200 * time.Millisecond, every: 20 * time.Millisecond, limit: 100 * time.Millisecond, long: time.Second,
			quiet: func() time.Duration {
				if now := time.Since(begun); now < s.quiet {
					return now
				}
				return 0
			},
			dial: func(ctx context.Context) error {
				tried.Add(1)
				switch now := time.Since(begun); {
				case now >= s.gone:
					return nil
				case s.refuses:
					return errors.New("no route")
				}
				<-ctx.Done()
				return ctx.Err()
			},
			reset: func(_ context.Context, d time.Duration) (int, error) {
				at, silent = append(at, time.Since(begun)), append(silent, d)
				return 1, nil
			},
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		p.run(ctx)
	})
	return at, silent, tried.Load()
}

func TestConnectionsOfTheStoreAreOpenedAnewWhenTheNetworkIsBack(t *testing.T) {
	for name, s := range map[string]pathStory{
		"tries are lost":         {gone: 600 * time.Millisecond, quiet: 610 * time.Millisecond},
		"tries fail":             {gone: 600 * time.Millisecond, quiet: 610 * time.Millisecond, refuses: true},
		"only after a long time": {gone: 1500 * time.Millisecond, quiet: 1590 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			at, silent, _ := watchPath(t, s)
			if len(at) != 1 || at[0] < s.gone || at[0] >= s.quiet || silent[0] != 200*time.Millisecond {
				t.Errorf("reset at %v, of silence %v; want once, within %s and %s, all that were silent for 200ms", at, silent, s.gone, s.quiet)
			}
		})
	}
}

func TestAPathThatWasNeverGoneLosesOnlyWhatRepeatsItself(t *testing.T) {
	at, silent, tries := watchPath(t, pathStory{quiet: 2 * time.Second})
	if len(at) == 0 || at[0] != 200*time.Millisecond {
		t.Fatalf("reset at %v, want at first after 200ms", at)
	}
	for _, d := range silent {
		if d != 0 {
			t.Errorf("connections that only heard nothing for %s were reset", d)
		}
	}
	if tries > 6 {
		t.Errorf("it was tried %d times in 2 s although it is there: ever more seldom is enough", tries)
	}
}

func TestWhileTheStoreIsHeardNoPathIsTried(t *testing.T) {
	if at, _, tries := watchPath(t, pathStory{gone: time.Hour}); tries != 0 || len(at) != 0 {
		t.Errorf("tried %d times, reset at %v", tries, at)
	}
}
