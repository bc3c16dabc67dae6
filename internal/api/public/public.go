// Package public answers what load balancers, keepalived and Prometheus ask of one
// node: may clients be led here, and how is the cluster?
//
// It changes nothing, writes nowhere and asks nobody: not the store, not the server,
// not the agent's loop. The rule that must not be broken: /primary says yes only at a
// moment in which this node holds the lease by its own clock and its gate is open,
// whatever else of the agent stands still.
//
//	GET /primary          200 if clients that write may be led here, 503 if not
//	GET /replica?lag=10s  200 if this server follows the primary, and is no further behind
//	GET /health           200 if this node's agent and its server are well
//	GET /cluster          the status of the cluster, as JSON
//	GET /history          the switches of the past, as JSON
//	GET /metrics          for Prometheus
//
// HEAD and OPTIONS get the same status without a body. The first three answer in one
// line of text, or in JSON to those who accept only that.
package public

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
)

// Serving is what the part of the agent knows that renews the lease. It is never
// older than the newest renewal.
type Serving struct {
	Epoch cluster.Epoch
	Until cluster.Instant // the lease's end; 0: none is held
	Open  bool            // the gate is open for as long as it lasts
}

// Look is what the agent's loop made of its newest look at this host.
type Look struct {
	At    cluster.Instant
	Stale time.Duration // after which it says nothing of the present any more
	Node  cluster.NodeName
	Epoch cluster.Epoch
	// NotPrimary and NotReplica say why clients are not to be led here for writing, or
	// for reading; each is empty if they may. Unwell says what is wrong with this node.
	NotPrimary, NotReplica, Unwell string
	// AppliedAt is a moment up to which this server has applied all that the primary
	// had then, as far as this node knows; 0: it knows none.
	AppliedAt cluster.Instant
}

// Source is where answers come from. None of its methods may wait for anything.
type Source interface {
	Serving() Serving
	Look() *Look // nil before the first one
	Snapshot() (api.Snapshot, bool)
	// Switches are those of the past, newest first, as they were read last.
	Switches() []api.LastSwitch
	// LateRenewals counts the renewals of the lease that came late.
	LateRenewals() int64
}

// Handler answers from source. now is this host's clock.
func Handler(source Source, now func() cluster.Instant, log *slog.Logger) http.Handler {
	h := &handler{
		source: source, now: now, heavy: make(chan struct{}, 2), text: []string{"text/plain; charset=utf-8"}, json: []string{"application/json"},
		fresh: []string{"no-store"}, methods: []string{"GET, HEAD, OPTIONS"},
	}
	h.metrics = metricsHandler(source, now, log)
	return h
}

type handler struct {
	source  Source
	now     func() cluster.Instant
	metrics http.Handler
	heavy   chan struct{} // held by those who get a document; few at a time

	// Values of headers, made once.
	text, json, fresh, methods []string
}

// verdict is yes, or no because of something.
type verdict struct {
	yes  bool
	text string
}

func no(why string) verdict { return verdict{text: why} }

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head["Cache-Control"] = h.fresh
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		head["Allow"] = h.methods
	default:
		head["Allow"] = h.methods
		h.write(w, r, http.StatusMethodNotAllowed, verdict{text: "nothing can be changed here"})
		return
	}
	switch r.URL.Path {
	case "/primary":
		h.say(w, r, h.primary())
	case "/replica":
		h.replica(w, r)
	case "/health":
		h.say(w, r, h.health())
	case "/cluster", "/history", "/metrics":
		h.document(w, r)
	default:
		h.write(w, r, http.StatusNotFound, verdict{text: "there are /primary, /replica?lag=10s, /health, /cluster, /history and /metrics"})
	}
}

// primary is about this moment: what the loop saw may only say no.
func (h *handler) primary() verdict {
	look := h.source.Look()
	if look == nil {
		return no(notYet)
	}
	s, now := h.source.Serving(), h.now()
	switch {
	case look.NotPrimary != "":
		return no(look.NotPrimary)
	case !s.Open:
		return no("the gate is not open for clients that write")
	case now >= s.Until || s.Epoch != look.Epoch:
		return no("the lease has run out")
	}
	return verdict{true, string(look.Node) + " is primary"}
}

func (h *handler) health() verdict {
	look, why := h.lately()
	switch {
	case why != "":
		return no(why)
	case look.Unwell != "":
		return no(look.Unwell)
	}
	return verdict{true, "well"}
}

// notYet is what an agent says that has only begun.
const notYet = "this agent has not looked around yet"

// lately is what the loop saw last, or why that says nothing any more.
func (h *handler) lately() (look *Look, why string) {
	if look = h.source.Look(); look == nil {
		return nil, notYet
	}
	if age := h.now().Sub(look.At); age > look.Stale {
		return nil, fmt.Sprintf("this agent has not looked at its host for %s", age.Round(time.Millisecond))
	}
	return look, ""
}

// replica judges with the limit on the lag that was asked for, if any.
func (h *handler) replica(w http.ResponseWriter, r *http.Request) {
	limit, err := lagOf(r.URL.RawQuery)
	if err != nil {
		h.write(w, r, http.StatusBadRequest, no(err.Error()))
		return
	}
	h.say(w, r, h.readable(limit))
}

// noLimit is where nobody asks for one.
const noLimit = -1

func lagOf(query string) (time.Duration, error) {
	if query == "" {
		return noLimit, nil
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return 0, fmt.Errorf("this query cannot be read: %w", err)
	}
	for name := range values {
		if name != "lag" {
			return 0, fmt.Errorf("there is no %s; ask /replica?lag=10s", strconv.Quote(name))
		}
	}
	limit, err := time.ParseDuration(values.Get("lag"))
	if err != nil || limit <= 0 {
		return 0, fmt.Errorf("lag=%s is no length of time; write it as lag=10s or lag=500ms", values.Get("lag"))
	}
	return limit, nil
}

func (h *handler) readable(limit time.Duration) verdict {
	look, why := h.lately()
	switch {
	case why != "":
		return no(why)
	case look.NotReplica != "":
		return no(look.NotReplica)
	case limit == noLimit:
		return verdict{true, string(look.Node) + " is a replica"}
	case look.AppliedAt == 0:
		return no("how far this server is behind is not known")
	}
	if lag := h.now().Sub(look.AppliedAt); lag > limit {
		return no(fmt.Sprintf("up to %s behind the primary, more than %s", lag.Round(time.Millisecond), limit))
	}
	return verdict{true, string(look.Node) + " is a replica"}
}

func (h *handler) say(w http.ResponseWriter, r *http.Request, v verdict) {
	if v.yes {
		h.write(w, r, http.StatusOK, v)
	} else {
		h.write(w, r, http.StatusServiceUnavailable, v)
	}
}

// write answers in one line.
func (h *handler) write(w http.ResponseWriter, r *http.Request, status int, v verdict) {
	var body []byte
	if accept := r.Header["Accept"]; len(accept) == 1 && accept[0] == "application/json" {
		w.Header()["Content-Type"] = h.json
		body, _ = json.Marshal(struct { // booleans and strings always encode
			OK     bool   `json:"ok"`
			Reason string `json:"reason"`
		}{v.yes, v.text})
	} else {
		w.Header()["Content-Type"] = h.text
		body = append(make([]byte, 0, len(v.text)+1), v.text...)
	}
	body = append(body, '\n')
	w.WriteHeader(status)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // whoever asked has hung up: nobody to tell
	}
}
