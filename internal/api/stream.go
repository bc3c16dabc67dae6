package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// keepAlive is how often a stream of events shows that it is still there.
const keepAlive = 15 * time.Second

// request answers with a request's state; with ?wait=, not before the state is
// final or the time is over.
func (s *Server) request(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	wait := time.Duration(0)
	if text := r.URL.Query().Get("wait"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("wait=%q is not a duration", text), Mend: "write for example wait=10s"}
		}
		wait = min(d, maxWait)
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	state, ok := s.await(ctx, id)
	if !ok {
		return &Error{Status: http.StatusNotFound, Message: fmt.Sprintf("this node knows of no request %q", id), Mend: "it may have been dealt with long ago: see `baton history`"}
	}
	if state.Status == Refused {
		// It stays in the store until it has been read. If this fails, the next
		// reader tries again.
		if err := s.requests.Forget(r.Context(), id); err != nil {
			s.log.DebugContext(r.Context(), "delete a refused request", "id", id, "err", err)
		}
	}
	return reply(w, http.StatusOK, state)
}

func (s *Server) await(ctx context.Context, id string) (RequestState, bool) {
	_, more := s.source.Since(0)
	for {
		state, ok := s.source.Request(id)
		if !ok || state.Status.Final() {
			return state, ok
		}
		select {
		case <-more:
			_, more = s.source.Since(0)
		case <-ctx.Done():
			return state, true
		}
	}
}

// events streams what happens from now on, or from after ?after= or the
// Last-Event-ID header on, as server-sent events (WHATWG HTML, section 9.2).
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	after, err := s.startOf(r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	out := http.NewResponseController(w)
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	for {
		events, more := s.source.Since(after)
		for _, e := range events {
			b, err := json.Marshal(e)
			if err != nil {
				s.log.ErrorContext(r.Context(), "encode an event", "kind", e.Kind, "err", err)
				continue
			}
			after = e.Seq
			if _, err := fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Kind, b); err != nil {
				return nil // the reader is gone
			}
		}
		if err := out.Flush(); err != nil {
			return nil
		}
		select {
		case <-more:
		case <-alive.C:
			if _, err := fmt.Fprint(w, ": alive\n\n"); err != nil {
				return nil
			}
		case <-r.Context().Done():
			return nil
		}
	}
}

func (s *Server) startOf(r *http.Request) (uint64, error) {
	text := r.URL.Query().Get("after")
	if text == "" {
		text = r.Header.Get("Last-Event-ID")
	}
	if text == "" {
		events, _ := s.source.Since(0)
		if len(events) == 0 {
			return 0, nil
		}
		return events[len(events)-1].Seq, nil
	}
	after, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("%q is not the number of an event", text), Mend: "use the id of the last event you have seen, or 0"}
	}
	return after, nil
}
