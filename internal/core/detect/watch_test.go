package detect

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/baton-db/baton/internal/core/cluster"
)

// A server answers after some time, or not at all.
type server func(asked time.Duration) (latency time.Duration, outcome Outcome)

// change is when an observer changed its mind.
type change struct {
	at    time.Duration
	state cluster.LayerState
}

// watch runs an observer's loop in virtual time: it turns every 50 ms but where
// it is paused, and gives a probe up after 300 ms.
func watch(layer Layer, until time.Duration, s server, paused func(time.Duration) bool) []change {
	const turn, deadline = 50 * ms, 300 * ms
	track := New(layer, limits)
	var changes []change
	var last cluster.LayerState
	var sent, end time.Duration
	var outcome Outcome
	out := false
	for at := time.Duration(0); at < until; at += turn {
		if paused(at) {
			continue
		}
		now := boot.Add(at)
		track = track.Tick(now)
		if out && at >= min(end, sent+deadline) {
			r := Result{Sent: boot.Add(sent), Outcome: outcome, Error: "no"}
			if at >= sent+deadline && end > sent+deadline {
				r.Outcome = NoAnswer
			}
			track, out = track.Observe(now, r), false
		}
		if !out && (at == 0 || at >= sent+track.Next()) {
			latency, o := s(at)
			if o == NoAnswer {
				latency = time.Hour
			}
			sent, end, outcome, out = at, at+latency, o, true
			track = track.Asked(now, 0)
		}
		if state := track.Verdict(now).State; state != last {
			last, changes = state, append(changes, change{at, state})
		}
	}
	return changes
}

func neverPaused(time.Duration) bool { return false }

// stopped returns when a layer was first judged down after a time.
func stopped(changes []change, after time.Duration) (time.Duration, bool) {
	for _, c := range changes {
		if c.at >= after && c.state == down {
			return c.at, true
		}
	}
	return 0, false
}

func TestAnObserverInVirtualTime(t *testing.T) {
	layers := rapid.SampledFrom([]Layer{Host, Port, Server, Business})
	within := func(t *rapid.T, label string, from, to time.Duration) time.Duration {
		return time.Duration(rapid.Int64Range(int64(from/ms), int64(to/ms)).Draw(t, label)) * ms
	}

	t.Run("a server that answers is never down, however the observer is paused", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			latency := within(t, "latency", 0, 200*ms)
			from := within(t, "pause begins", 0, 5*time.Second)
			length := within(t, "pause", 0, 20*time.Second)
			changes := watch(layers.Draw(t, "layer"), 40*time.Second,
				func(time.Duration) (time.Duration, Outcome) { return latency, Answered },
				func(at time.Duration) bool { return at > from && at < from+length })
			if at, is := stopped(changes, 0); is {
				t.Fatalf("down at %s: %v", at, changes)
			}
		})
	})

	t.Run("one lost probe makes nothing down", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			which, asked := rapid.IntRange(0, 9).Draw(t, "which"), -1
			outcome := rapid.SampledFrom([]Outcome{NoAnswer, Refused}).Draw(t, "outcome")
			changes := watch(layers.Draw(t, "layer"), 12*time.Second, func(time.Duration) (time.Duration, Outcome) {
				if asked++; asked == which {
					return 10 * ms, outcome
				}
				return 10 * ms, Answered
			}, neverPaused)
			if at, is := stopped(changes, 0); is {
				t.Fatalf("down at %s: %v", at, changes)
			}
			if len(changes) < min(3, 2+which) {
				t.Fatalf("the lost probe was not even noticed: %v", changes)
			}
		})
	})

	t.Run("a server that is gone or frozen is down in time, and up in time when it is back", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			layer := layers.Draw(t, "layer")
			dies := within(t, "dies", time.Second, 5*time.Second)
			back := dies + within(t, "for", 4*time.Second, 9*time.Second)
			how := rapid.SampledFrom([]Outcome{NoAnswer, Refused}).Draw(t, "how")
			changes := watch(layer, back+5*time.Second, func(at time.Duration) (time.Duration, Outcome) {
				if at >= dies && at < back {
					return ms, how
				}
				return ms, Answered
			}, neverPaused)
			// The interval, then three times a deadline at most, or the hang
			// limit; each rounded up to a turn of the loop.
			limit := limits.Normal + limits.Hang + 250*ms
			at, is := stopped(changes, dies)
			if !is || at > dies+limit {
				t.Fatalf("died at %s, down at %s (%t): %v", dies, at, is, changes)
			}
			end := changes[len(changes)-1]
			if end.state != up || end.at < back || end.at > back+time.Second {
				t.Fatalf("back at %s: %v", back, changes)
			}
		})
	})
}

// A series of results in any order, at any time, must leave a verdict that
// agrees with itself.
func FuzzTrack(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5})
	f.Add([]byte{0x80, 0x11, 0x91, 0xff, 0x00, 0x42, 0x13})
	f.Fuzz(func(t *testing.T, script []byte) {
		track, now := New(Server, limits), boot
		for i, b := range script {
			now = now.Add(time.Duration(b>>4) * 60 * ms)
			switch b & 7 {
			case 0, 1:
				track = track.Asked(now, time.Duration(b&8)*20*ms)
			case 2:
				track = track.Tick(now)
			default:
				track = track.Observe(now, Result{Sent: now.Add(-time.Duration(b&8) * 70 * ms), Outcome: Outcome(b % 3), Error: "no"})
			}
			v := track.Verdict(now)
			switch {
			case track.advance(now).hung && v.State != down:
				t.Fatalf("step %d: hung, but %s", i, v.State)
			case v.State == up && v.Evidence != "":
				t.Fatalf("step %d: up with evidence %q", i, v.Evidence)
			case (v.State == suspect || v.State == down) && v.Evidence == "":
				t.Fatalf("step %d: %s without evidence", i, v.State)
			case track.Next() != limits.Normal && track.Next() != limits.Suspect && track.Next() != limits.Critical:
				t.Fatalf("step %d: next after %s", i, track.Next())
			}
		}
	})
}
