// Package detect answers whether one layer of one node is up, suspect or down,
// from the results of a series of probes, with the evidence.
//
// It never probes and reads no clock: its caller says when a probe began and
// what came of it. The one rule: only an unanswered question is evidence. Time
// in which nothing was asked, or in which the observer itself stood still, is
// never held against a server.
package detect

import (
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Layer is what a probe looks at.
type Layer string

// The layers, from the network up.
const (
	Host     Layer = "host"     // ICMP echo
	Port     Layer = "port"     // TCP connect
	Server   Layer = "server"   // handshake and SELECT 1
	Business Layer = "business" // the user's own statement
)

// silenceTells reports whether single unanswered probes add up. A host that
// answers neither echo nor connect is gone. A server may be slow: it gets the
// hang limit.
func (l Layer) silenceTells() bool { return l == Host || l == Port }

// Outcome is what came of one probe.
type Outcome uint8

// The outcomes.
const (
	// NoAnswer says that the deadline passed, or that the server said it cannot
	// answer now (too many connections, disk full). It may be a passing thing.
	NoAnswer Outcome = iota
	// Refused says that something answered in the server's place: connection
	// refused or reset, host unreachable.
	Refused
	// Answered says that the answer came, whatever it said: a lock wait
	// timeout answers a probe that writes.
	Answered
)

// Result is the end of one probe.
type Result struct {
	Sent    cluster.Instant // when the probe began
	Outcome Outcome
	Latency time.Duration // of an answer
	Error   string        // what went wrong, for people; the same for the same cause
}

// Track is the state of one layer of one node. It is a value: its methods
// return the next one. Make it with New.
//
// The caller calls Asked when it starts a probe and Observe when one ends, and
// may call Tick in between, to have a hang noticed while a probe is still out.
// It says how long it may stay away (Asked) and must not be later than that by
// more than Limits.Pause, nor later with its next probe than Next: otherwise it
// is taken to have stood still. Verdict may be called at any time.
type Track struct {
	layer  Layer
	limits Limits

	state    cluster.LayerState
	evidence string
	latency  time.Duration
	failures int // since the last answer
	counted  int // of those, the ones that add up to down
	answers  int // in a row since it was down, while it recovers
	hung     bool

	begun     bool            // seen is set
	seen      cluster.Instant // the latest now
	dueBack   cluster.Instant // when the observer should be seen again
	resumedAt cluster.Instant // when it last came back from standing still

	// When probes were sent, to put results in order.
	answerSent, failureSent cluster.Instant

	// Since when; moved on when the observer stood still.
	everAnswered                     bool
	answeredAt, askedAt, failedSince cluster.Instant
	unanswered                       bool // no question since askedAt has been answered
	out                              int  // probes without a result
	outAt                            cluster.Instant
}

// New returns the track of a layer that nothing is known of. Limits must be
// valid; zero ones are defaults.
func New(layer Layer, limits Limits) Track {
	return Track{layer: layer, limits: limits.withDefaults()}
}

// Tick notes that the observer is awake at now.
func (t Track) Tick(now cluster.Instant) Track { return t.advance(now) }

// Asked notes that a probe begins at now. The caller may not be back before
// away has passed: the probe's deadline if it waits for that, 0 if it calls
// Tick meanwhile.
func (t Track) Asked(now cluster.Instant, away time.Duration) Track {
	t = t.advance(now)
	if t.out == 0 {
		t.outAt = t.seen
	}
	t.out++
	t.dueBack = t.seen.Add(away)
	return t.open(t.seen)
}

// Observe takes the result of a probe that ended at now.
func (t Track) Observe(now cluster.Instant, r Result) Track {
	t = t.move(now)
	t.out, t.outAt = max(0, t.out-1), t.seen
	switch {
	case r.Outcome == Answered:
		return t.answer(r)
	case t.everAnswered && r.Sent < t.answerSent:
		return t // a later question has been answered already
	case r.Outcome == NoAnswer && r.Sent < t.resumedAt:
		// The deadline passed while this observer stood still; the answer may
		// have been there in time.
		t.unanswered = t.out > 0
		return t
	}
	return t.failure(r)
}

func (t Track) answer(r Result) Track {
	if t.failures > 0 && r.Sent < t.failureSent {
		// Older than the last failure: it shows that the server lived then, not
		// that it lives now.
		t.answeredAt, t.everAnswered = max(t.answeredAt, min(r.Sent, t.seen)), true
		return t
	}
	t.answerSent, t.answeredAt, t.everAnswered = max(t.answerSent, r.Sent), t.seen, true
	t.latency = r.Latency
	t.failures, t.counted, t.hung = 0, 0, false
	t.unanswered, t.askedAt = t.out > 0, t.seen
	if t.state == cluster.Down || t.answers > 0 {
		t.answers++
		if t.answers < t.limits.Recover {
			t.state = cluster.Suspect
			t.evidence = fmt.Sprintf("answers again, %d of %d times", t.answers, t.limits.Recover)
			return t
		}
	}
	t.state, t.evidence, t.answers = cluster.Up, "", 0
	return t
}

func (t Track) failure(r Result) Track {
	if t.failures == 0 {
		t.failedSince = min(max(r.Sent, t.resumedAt), t.seen)
		t.failureSent = r.Sent
	}
	t.failures++
	t.failureSent = max(t.failureSent, r.Sent)
	t.evidence = r.Error
	if r.Outcome == Refused || t.layer.silenceTells() {
		t.counted++
	}
	if r.Outcome == NoAnswer {
		t = t.open(t.failedSince)
	}
	switch {
	case t.answers > 0, t.counted >= t.limits.Failures:
		t.state = cluster.Down
	case t.state != cluster.Down:
		t.state = cluster.Suspect
	}
	t.answers = 0
	if r.Outcome == NoAnswer && (t.failures > 1 || t.seen.Sub(t.askedAt) >= t.limits.Hang) {
		return t.latch() // a single lost probe proves no hang, unless it lasted for all of it
	}
	return t
}

// open notes that a question is open since then, if none was before.
func (t Track) open(since cluster.Instant) Track {
	if !t.unanswered {
		t.unanswered, t.askedAt = true, since
	}
	return t
}

// advance moves the track on to now, and notices a hang while a probe is out.
// What is not being asked, or only just, shows none.
func (t Track) advance(now cluster.Instant) Track {
	t = t.move(now)
	if t.slow() {
		return t.latch()
	}
	return t
}

// move moves the track on to now. If the observer was away for longer than it
// should be, that time is taken out of all reckoning.
func (t Track) move(now cluster.Instant) Track {
	if !t.begun {
		t.begun, t.seen = true, now
		return t
	}
	if now <= t.seen {
		return t
	}
	away, due := now.Sub(t.seen), max(t.dueBack, t.seen)
	if t.out == 0 {
		due = t.seen.Add(t.Next())
	}
	if now.Sub(due) > t.limits.Pause {
		t.resumedAt = now
		t.answeredAt = t.answeredAt.Add(away)
		t.askedAt = t.askedAt.Add(away)
		t.outAt = t.outAt.Add(away)
		t.failedSince = t.failedSince.Add(away)
	}
	t.seen = now
	return t
}

// latch makes a hang lasting: one answer does not undo it.
func (t Track) latch() Track {
	if t.silence() >= t.limits.Hang {
		t.state, t.answers, t.hung = cluster.Down, 0, true
		if t.failures == 0 {
			t.evidence = fmt.Sprintf("no answer for %s", t.limits.Hang)
		}
	}
	return t
}

// silence is for how long nothing has been answered. It counts from the last
// answer; but of the time before the first question that was not answered,
// when nobody asked, at most a quarter of the hang limit counts.
func (t Track) silence() time.Duration {
	if !t.unanswered {
		return 0
	}
	since := t.askedAt
	if t.everAnswered {
		since = max(t.answeredAt, since.Add(-t.limits.Hang/4))
	}
	return t.seen.Sub(since)
}

// slow reports whether an answer has been awaited for suspiciously long.
func (t Track) slow() bool { return t.out > 0 && t.seen.Sub(t.outAt) >= t.limits.Slow }

// Verdict returns the layer as it is judged at now. Its evidence stays the same
// while the cause does.
func (t Track) Verdict(now cluster.Instant) cluster.LayerView {
	t = t.advance(now)
	v := cluster.LayerView{State: t.state, Evidence: t.evidence, Micros: t.latency.Microseconds()}
	if (v.State == cluster.Up || v.State == cluster.Unknown) && t.slow() {
		v.State = cluster.Suspect
		v.Evidence = fmt.Sprintf("no answer for %s", t.limits.Slow)
	}
	return v
}

// Next returns how long after the beginning of the last probe the next one is
// due.
func (t Track) Next() time.Duration {
	switch {
	case t.failures >= 2 || t.state == cluster.Down || t.answers > 0:
		return t.limits.Critical
	case t.failures == 1 || t.slow():
		return t.limits.Suspect
	}
	return t.limits.Normal
}
