package node

import (
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// Judge says what the own server is doing, from readings that came back or did
// not: a server that answers nothing for the hang limit is hung, one without a
// process has stopped.
type Judge struct {
	// Window is how long a replica may receive nothing and still receive.
	Window time.Duration

	last     cluster.ServerFact
	answered cluster.Instant // when a reading was last answered; 0: never
	reading  uint64
	receives receives
	still    stillness
}

// ReceivingWindow is how long a replica may receive nothing although its source
// sends a heartbeat every Renew.
func ReceivingWindow(s cluster.Settings) time.Duration { return 3*s.Renew + s.Renew/2 }

// stuckAfter is how long commits must have waited without any transaction
// getting on before they count as stuck.
const stuckAfter = 200 * time.Millisecond

// stillness judges whether commits are stuck: some wait for an acknowledgement and
// the position does not move.
type stillness struct {
	at    gtid.Set
	since cluster.Instant // 0: none waits, or the position moved
}

func (w *stillness) stuck(f cluster.ServerFact, now cluster.Instant) bool {
	switch {
	case f.SemiSrc.Waiting == 0:
		w.since = 0
	case w.since == 0 || !w.at.Equal(f.Executed):
		w.at, w.since = f.Executed, now
	}
	return w.since != 0 && now.Sub(w.since) >= stuckAfter
}

// receives judges whether a replica still receives: by when the reading last
// changed that changes with everything that comes in.
type receives struct {
	tick string
	at   cluster.Instant
}

// Answered takes in a reading that came back at now; tick changes with
// everything that the server receives.
func (j *Judge) Answered(f cluster.ServerFact, tick string, now cluster.Instant) cluster.ServerFact {
	j.reading++
	f.State, f.Reading = cluster.ServerUp, j.reading
	if tick != j.receives.tick {
		j.receives.tick, j.receives.at = tick, now
	}
	f.Replica.Receiving = f.Replica.Receiver && now.Sub(j.receives.at) < j.Window
	f.SemiSrc.Stuck = j.still.stuck(f, now)
	j.last, j.answered = f, now
	return f
}

// Silent takes in a reading that did not come back until now. alive says
// whether the server has a process.
func (j *Judge) Silent(alive bool, now cluster.Instant, hang time.Duration) cluster.ServerFact {
	if j.last.State == cluster.ServerUp && j.answered == 0 {
		j.answered = now
	}
	j.last.State = j.state(alive, now, hang)
	return j.last
}

// Patience is how long the next reading may take: to the moment at which a
// server that stays silent is hung, if that is nearer than half the limit.
func (j *Judge) Patience(now cluster.Instant, hang time.Duration) time.Duration {
	half := hang / 2
	if j.answered == 0 {
		return half
	}
	if left := j.answered.Add(hang).Sub(now); left > 0 && left < half {
		return left
	}
	return half
}

// state says what a server that did not answer is doing.
func (j *Judge) state(alive bool, now cluster.Instant, hang time.Duration) cluster.ServerState {
	switch {
	case !alive:
		return cluster.ServerStopped
	case j.last.State == cluster.ServerStopped, j.last.State == cluster.ServerUnknown, j.last.State == cluster.ServerStarting, j.last.State == cluster.ServerExiting:
		return cluster.ServerStarting
	case now.Sub(j.answered) >= hang:
		return cluster.ServerHung
	}
	return j.last.State
}
