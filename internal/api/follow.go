package api

import (
	"fmt"
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Request returns what has become of a request that this node knows of.
func (l *Live) Request(id string) (RequestState, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, ok := l.requests[id]
	if !ok {
		return RequestState{}, false
	}
	return t.RequestState, true
}

// Expect says that a request is in the store, before the watch brings it.
func (l *Live) Expect(q cluster.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.track(q)
	if l.have {
		l.add(l.now.Wall, l.follow(l.now))
	}
}

func (l *Live) track(q cluster.Request) *tracked {
	if t, ok := l.requests[q.ID]; ok {
		return t
	}
	if l.requests == nil {
		l.requests = map[string]*tracked{}
	}
	t := &tracked{ask: q, RequestState: RequestState{ID: q.ID, Kind: q.Kind, Status: Pending}}
	l.requests[q.ID] = t
	l.order = append(l.order, q.ID)
	if len(l.order) > keptRequests {
		delete(l.requests, l.order[0])
		l.order = l.order[1:]
	}
	return t
}

// follow brings the state of all requests up to a snapshot, and returns an
// event for each that changed.
func (l *Live) follow(s Snapshot) []Event {
	for _, q := range s.Requests {
		t := l.track(q)
		t.ask, t.Kind, t.seen, t.seenRev = q, q.Kind, true, s.Rev
	}
	if id := s.Record.Request; id != "" && l.requests[id] == nil {
		// Carried out before this agent started; its kind is not known any more.
		l.track(cluster.Request{ID: id})
	}
	var events []Event
	for _, id := range l.order {
		t := l.requests[id]
		if t.Status.Final() {
			continue
		}
		if next := t.next(s); next != t.RequestState {
			t.RequestState = next
			events = append(events, Event{Kind: RequestChanged, Request: &next})
		}
	}
	return events
}

// next is a request's state after a snapshot.
func (t *tracked) next(s Snapshot) RequestState {
	st, r := t.RequestState, s.Record
	if i := slices.IndexFunc(s.Requests, func(q cluster.Request) bool { return q.ID == t.ID }); i >= 0 {
		if why := s.Requests[i].Refused; why != "" {
			st.Status, st.Reason, st.Detail = Refused, cluster.RequestRefused, why
		}
		return st
	}
	if t.Kind == cluster.RequestRejoin {
		return t.rejoin(st, s)
	}
	if r.Request == t.ID {
		st.Epoch, st.Phase, st.Primary = r.Epoch, r.Phase, r.Primary
		st.Status = Accepted
		if r.Phase == cluster.PhaseSteady {
			return t.settled(st, r)
		}
		return st
	}
	// A request leaves the store together with a change of the record.
	changed := t.seen && s.Rev != t.seenRev
	switch {
	case t.Kind == cluster.RequestPause && r.Paused != nil && r.Paused.At == t.ask.At,
		t.Kind == cluster.RequestMaintenance && r.Maintained(t.ask.Node) != nil && r.Maintained(t.ask.Node).At == t.ask.At,
		t.Kind == cluster.RequestMaintenanceEnd && r.Maintained(t.ask.Node) == nil && (changed || !t.seen),
		t.Kind == cluster.RequestResume && r.Paused == nil && (changed || !t.seen):
		st.Status, st.Epoch, st.Phase, st.Primary = Done, r.Epoch, r.Phase, r.Primary
	case st.Status == Accepted && r.Phase == cluster.PhaseSteady,
		st.Status == Pending && changed:
		st.Status, st.Epoch, st.Phase, st.Primary = Failed, r.Epoch, r.Phase, r.Primary
		st.Reason, st.Detail = r.Reason, "something else changed the record instead: "+r.Detail
	}
	return st
}

// settled judges a switch that was asked for by what it ended in.
func (t *tracked) settled(st RequestState, r cluster.Record) RequestState {
	st.Status = Done
	switch {
	case r.Reason == cluster.HandoffTimedOut || r.Reason == cluster.HandoffAborted:
		st.Status, st.Reason, st.Detail = Failed, r.Reason, fmt.Sprintf("rolled back, %s is primary: %s", r.Primary, r.Detail)
	case t.ask.To != "" && t.ask.To != r.Primary:
		st.Status, st.Reason, st.Detail = Failed, r.Reason, fmt.Sprintf("%s was asked for, %s became primary: %s", t.ask.To, r.Primary, r.Detail)
	}
	return st
}
