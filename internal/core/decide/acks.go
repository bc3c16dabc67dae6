package decide

import (
	"fmt"
	"maps"
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// joinLag is how many transactions a replica may lack when it enters the ack
// set. It is no matter of safety: a member that is behind only makes an
// election's catch-up longer.
const joinLag = 1000

// acks keeps the ack set: the replicas whose acknowledgement counts. Only the
// primary's own node decides about it, for only its gate can cut a replica off.
// The order of the steps is the safety of it: design.md, section 9.
func acks(w World, now cluster.Instant) Outcome {
	r := w.Record
	q := r.Acks()
	if w.Self != r.Primary || w.Settings.Durability != cluster.Lossless || w.fact(w.Self).Serving != r.Epoch {
		return Outcome{}
	}
	if out := removeAck(w, q); out.Next != nil {
		return out
	}
	return addAck(w, q, now)
}

// removeAck shrinks the set by those whose replication is cut at the gate, once
// the remaining ones hold everything that was acknowledged until the cut.
func removeAck(w World, q cluster.AckQuorum) Outcome {
	own := w.fact(w.Self)
	cut := slices.DeleteFunc(slices.Clone(q.Members), func(m cluster.NodeName) bool { return !slices.Contains(own.AckCut, m) })
	if len(cut) == 0 || own.CutAt.IsZero() {
		return Outcome{} // the position of the cut is not known: reconcile cuts anew
	}
	rest, may := q.Without(cut, own.CutAt, func(m cluster.NodeName) gtid.Set { return w.fact(m).Server.Held() })
	if len(rest) == 0 && w.Settings.Alone == cluster.AloneWait {
		return Outcome{}
	}
	if !may {
		return stay(cluster.AckLeft, fmt.Sprintf("%s cannot leave the ack set before %s holds what it acknowledged", list(cut), list(rest)))
	}
	next := w.Record
	next.Quorums = slices.Clone(w.Record.Quorums)
	q.Members = rest
	next.Quorums[len(next.Quorums)-1] = q
	detail := fmt.Sprintf("%s fell silent; %s acknowledge from now on", list(cut), list(rest))
	if len(rest) == 0 {
		detail = fmt.Sprintf("%s fell silent; nobody acknowledges any more: only %s's data may be elected", list(cut), w.Self)
	}
	return swap(next, w.Record.Reason, w.Record.Detail).because(cluster.AckLeft, detail)
}

// addAck grows the set by a replica that has caught up.
//
// While others acknowledge, it enters the record first and acknowledges then:
// an acknowledgement that counts on the server must count in the record. While
// the set is empty nobody's acknowledgement is counted on, so it is told to
// acknowledge first (Joining) and enters the set once it holds everything that
// was committed before commits began to wait for it. While there are fewer than
// k, its promise alone would satisfy an election: it must hold everything too.
// One that is let go before it joined may acknowledge still: it is cut first.
func addAck(w World, q cluster.AckQuorum, now cluster.Instant) Outcome {
	own := w.fact(w.Self)
	if j := w.Record.Joining; j != "" {
		f := w.fact(j)
		switch {
		case !w.follows(j, now):
			if !slices.Contains(own.AckCut, j) {
				return Outcome{}
			}
			next := w.Record
			next.Joining = ""
			return swap(next, w.Record.Reason, w.Record.Detail).because(cluster.AckLeft, fmt.Sprintf("%s left before it had joined", j))
		case own.Server.SemiSrc.Enabled && f.Server.Replica.SemiSync && f.Server.Held().Contains(own.Server.Executed):
			return withMember(w, q, j)
		}
		return Outcome{}
	}
	for _, n := range w.Settings.DataNodes() {
		if n == w.Self || slices.Contains(q.Members, n) || slices.Contains(own.AckCut, n) || w.Record.RejoinOf(n) != nil {
			continue // one that is to get other data must be missed by nobody
		}
		if len(q.Members) > 0 && w.returns(n, now) {
			return withMember(w, q, n)
		}
		if len(q.Members) == 0 && w.Settings.Alone == cluster.AloneWait && w.returns(n, now) {
			return joining(w, n) // commits wait although nobody acknowledges: it could not follow otherwise
		}
		if !w.follows(n, now) {
			continue
		}
		if own.Server.Executed.Subtract(w.fact(n).Server.Held()).Count() > joinLag {
			continue
		}
		if 0 < len(q.Members) && len(q.Members) < q.K && !w.fact(n).Server.Held().Contains(own.Server.Executed) {
			continue
		}
		if len(q.Members) > 0 {
			return withMember(w, q, n)
		}
		return joining(w, n)
	}
	return Outcome{}
}

func joining(w World, n cluster.NodeName) Outcome {
	next := w.Record
	next.Joining = n
	return swap(next, w.Record.Reason, w.Record.Detail).because(cluster.AckJoining, fmt.Sprintf("%s is to acknowledge", n))
}

func withMember(w World, q cluster.AckQuorum, n cluster.NodeName) Outcome {
	next := w.Record
	next.Joining = ""
	next.Quorums = slices.Clone(w.Record.Quorums)
	if len(q.Members) == 0 {
		q.K = w.Settings.Acks // it may have begun as an asynchronous reign
	}
	q.Members = append(slices.Clone(q.Members), n)
	slices.Sort(q.Members)
	next.Quorums[len(next.Quorums)-1] = q
	return swap(next, w.Record.Reason, w.Record.Detail).because(cluster.AckJoined, fmt.Sprintf("%s acknowledges from now on", n))
}

// follows reports that n replicates from this primary and may be counted on. An
// agent that only observes would neither promise nor promote.
func (w World) follows(n cluster.NodeName, now cluster.Instant) bool {
	f := w.fact(n)
	rep := f.Server.Replica
	return w.alive(n, now) && !w.observes(n) && f.Epoch == w.Record.Epoch && rep.Source == w.Record.Primary && rep.Receiver && rep.Applier &&
		f.Held == "" && f.Errant.IsZero()
}

// returns reports that n is ready to follow and must acknowledge in order to:
// it lost transactions that it once wrote itself (cluster.OwnLost).
func (w World) returns(n cluster.NodeName, now cluster.Instant) bool {
	f := w.fact(n)
	lost := f.Server.OwnLost(w.fact(w.Record.Primary).Server.Executed)
	rep := f.Server.Replica
	return w.alive(n, now) && !w.observes(n) && f.Epoch == w.Record.Epoch && f.Server.ReadOnly && f.Held == "" && f.Errant.IsZero() && !lost.IsZero() &&
		!(rep.Source == w.Record.Primary && rep.Started)
}

// TrackAcks returns since when each member of the ack set has not been
// acknowledging, given the answer of the look before. The agent carries it from
// look to look; package reconcile cuts off who is silent for too long.
func TrackAcks(before map[cluster.NodeName]cluster.Instant, w World, now cluster.Instant) map[cluster.NodeName]cluster.Instant {
	silent := make(map[cluster.NodeName]cluster.Instant)
	if w.Self != w.Record.Primary || w.fact(w.Self).Serving != w.Record.Epoch {
		return silent
	}
	watched := slices.Clone(w.Record.Acks().Members)
	if w.Record.Joining != "" {
		watched = append(watched, w.Record.Joining)
	}
	for _, m := range watched {
		if w.follows(m, now) && w.fact(m).Server.Replica.SemiSync && w.fresh(m, now, w.Settings.Beat+w.Settings.AckLeave/2) {
			continue
		}
		silent[m] = now
		if since, ok := before[m]; ok {
			silent[m] = since
		}
	}
	return silent
}

// AckSilent returns the members that have not acknowledged for longer than the
// limit, sorted.
func AckSilent(silent map[cluster.NodeName]cluster.Instant, s cluster.Settings, now cluster.Instant) []cluster.NodeName {
	var names []cluster.NodeName
	for _, n := range slices.Sorted(maps.Keys(silent)) {
		if now.Sub(silent[n]) >= s.AckLeave {
			names = append(names, n)
		}
	}
	return names
}
