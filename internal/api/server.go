package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/timeline"
)

// Options describe a Server. All fields are needed but where they say so.
type Options struct {
	Source   Source
	Requests Requests
	History  History
	Members  Members
	Restarts Restarts
	Lost     LostTransactions
	Conns    Connections
	Around   Around           // nil: a budget says nothing of the hosts
	Rejoins  Rejoins          // nil: a plan says nothing of the hosts
	Public   http.Handler     // what package public answers; nil: nothing
	Now      func() time.Time // wall clock, for the time of a request
	Log      *slog.Logger
}

// Server answers the API.
type Server struct {
	source   Source
	requests Requests
	history  History
	members  Members
	restarts Restarts
	lost     LostTransactions
	conns    Connections
	rejoins  Rejoins
	around   Around
	public   http.Handler
	now      func() time.Time
	log      *slog.Logger
}

// NewServer returns a server that does not listen yet.
func NewServer(o Options) *Server {
	return &Server{source: o.Source, requests: o.Requests, history: o.History, members: o.Members, restarts: o.Restarts, lost: o.Lost, conns: o.Conns, rejoins: o.Rejoins, around: o.Around, public: o.Public, now: o.Now, log: o.Log}
}

// maxBody is how much of a request's body is read.
const maxBody = 64 << 10

// maxWait is how long a reader may wait for a request to become final in one
// call. The client calls again.
const maxWait = 30 * time.Second

// Handler returns the API for a listener of any kind.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /v1/status":          s.status,
		"GET /v1/explain":         s.explain,
		"GET /v1/budget":          s.budget,
		"GET /v1/facts":           s.facts,
		"GET /v1/history":         s.switches,
		"GET /v1/history/{epoch}": s.oneSwitch,
		"POST /v1/requests":       s.submit,
		"POST /v1/rejoin/plan":    s.planRejoin,
		"GET /v1/requests/{id}":   s.request,
		"GET /v1/events":          s.events,
		"GET /v1/store/members":   s.storeMembers,
		"POST /v1/agent/restart":  s.restart,
		"GET /v1/lost":            s.listLost,
		"GET /v1/connections":     s.listConnections,

		"GET /v1/lost/{name}/report":       s.lostReport,
		"GET /v1/lost/{name}/transactions": s.lostTransactions,
		"POST /v1/lost/{name}/check":       s.lostCheck,

		"POST /v1/store/members/{node}/replace": s.replaceMember,
		"POST /v1/store/members/{node}/admit":   s.admitMember,
		"/":                                     notFound,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := h(w, r); err != nil {
				s.fail(w, r, err)
			}
		})
	}
	if s.public != nil {
		for _, path := range []string{"/primary", "/replica", "/health", "/metrics"} {
			mux.Handle(path, s.public)
		}
	}
	return mux
}

// Serve answers on l until ctx ends, and returns when the last reader is gone
// or has been cut off.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	// Readers that wait (events, requests) end with ctx.
	h := &http.Server{
		Handler: s.Handler(), ConnContext: withPeer, ReadHeaderTimeout: 5 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve the API on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := h.Shutdown(grace); err != nil {
		_ = h.Close() // those who do not go are cut off; nothing is lost by it
	}
	<-ended
	return nil
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var known *Error
	if !errors.As(err, &known) {
		known = &Error{Status: http.StatusInternalServerError, Message: err.Error()}
	}
	if known.Status >= 500 {
		s.log.WarnContext(r.Context(), "api request", "method", r.Method, "path", r.URL.Path, "status", known.Status, "err", err)
	}
	_ = reply(w, known.Status, known) // the reader may be gone already
}

func reply(w http.ResponseWriter, status int, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %T: %w", v, err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // whoever asked has hung up: nobody to tell
	return nil
}

func notFound(_ http.ResponseWriter, r *http.Request) error {
	return &Error{Status: http.StatusNotFound, Message: fmt.Sprintf("there is no %s %s", r.Method, r.URL.Path), Mend: "see GET /v1/status, /v1/explain, /v1/budget, /v1/facts, /v1/history, /v1/events, /v1/lost, /v1/connections, /v1/store/members and POST /v1/requests"}
}

func (s *Server) snapshot() (Snapshot, error) {
	snap, ok := s.source.Snapshot()
	if !ok {
		return Snapshot{}, &Error{Status: http.StatusServiceUnavailable, Message: "the agent has only just started and has not read the store yet", Mend: "try again in a moment"}
	}
	return snap, nil
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) error {
	snap, err := s.snapshot()
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, StatusOf(snap))
}

func (s *Server) facts(w http.ResponseWriter, _ *http.Request) error {
	snap, err := s.snapshot()
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, rawFacts(snap))
}

func (s *Server) readHistory(ctx context.Context) ([]timeline.Switch, error) {
	parts, err := s.history.Parts(ctx)
	if err != nil {
		return nil, &Error{Status: http.StatusServiceUnavailable, Message: fmt.Sprintf("read the history from the store: %v", err)}
	}
	return timeline.Switches(parts), nil
}

func (s *Server) switches(w http.ResponseWriter, r *http.Request) error {
	all, err := s.readHistory(r.Context())
	if err != nil {
		return err
	}
	if all == nil {
		all = []timeline.Switch{}
	}
	return reply(w, http.StatusOK, all)
}

func (s *Server) oneSwitch(w http.ResponseWriter, r *http.Request) error {
	epoch, err := strconv.ParseUint(r.PathValue("epoch"), 10, 64)
	if err != nil {
		return &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("%q is not an epoch", r.PathValue("epoch")), Mend: "an epoch is a number, as `baton history` lists them"}
	}
	all, err := s.readHistory(r.Context())
	if err != nil {
		return err
	}
	one, ok := timeline.Find(all, cluster.Epoch(epoch))
	if !ok {
		return &Error{Status: http.StatusNotFound, Message: fmt.Sprintf("no switch is recorded for epoch %d", epoch), Mend: "`baton history` lists those there are"}
	}
	return reply(w, http.StatusOK, one)
}

// asked reads what somebody asks for, and refuses what cannot be meant.
func (s *Server) asked(w http.ResponseWriter, r *http.Request) (Snapshot, cluster.Request, error) {
	var ask Ask
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&ask); err != nil {
		return Snapshot{}, cluster.Request{}, &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("read the request's body: %v", err), Mend: `send for example {"kind": "switchover", "to": "db2"}`}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Snapshot{}, cluster.Request{}, &Error{Status: http.StatusBadRequest, Message: "there is something after the request's body", Mend: "send one request at a time"}
	}
	snap, err := s.snapshot()
	if err != nil {
		return Snapshot{}, cluster.Request{}, err
	}
	if err := check(ask, snap.Settings); err != nil {
		return Snapshot{}, cluster.Request{}, err
	}
	q := cluster.Request{
		Schema: cluster.Schema, ID: fmt.Sprintf("%s-%s", ask.Kind, strings.ToLower(rand.Text()[:10])),
		Kind: ask.Kind, To: ask.To, Node: ask.Node, Force: ask.Force, Method: ask.Method, Drop: ask.Drop, Why: ask.Why,
		By: fmt.Sprintf("%s@%s", peerOf(r.Context()).User, snap.Node), Epoch: ask.Epoch, At: s.now().UTC().Format(time.RFC3339Nano),
	}
	if q.Epoch == 0 {
		q.Epoch = snap.Record.Epoch
	}
	return snap, q, nil
}

func (s *Server) submit(w http.ResponseWriter, r *http.Request) error {
	_, q, err := s.asked(w, r)
	if err != nil {
		return err
	}
	peer := peerOf(r.Context())
	if err := s.requests.Submit(r.Context(), q); err != nil {
		return &Error{Status: http.StatusServiceUnavailable, Message: fmt.Sprintf("write request %s into the store: %v", q.ID, err), Mend: "nothing has been asked for; see `baton status` on another node"}
	}
	s.log.InfoContext(r.Context(), "request", "id", q.ID, "kind", q.Kind, "node", q.Node, "to", q.To, "method", q.Method, "force", q.Force, "who", peer.User, "uid", peer.UID, "pid", peer.PID)
	s.source.Expect(q)
	state, _ := s.source.Request(q.ID)
	return reply(w, http.StatusAccepted, state)
}

// check refuses what cannot be meant, before the store is bothered with it.
func check(a Ask, settings cluster.Settings) error {
	bad := func(message, mend string) error {
		return &Error{Status: http.StatusBadRequest, Message: message, Mend: mend}
	}
	data := settings.DataNodes()
	takesTo := a.Kind == cluster.RequestSwitchover || a.Kind == cluster.RequestFailover || a.Kind == cluster.RequestRejoin
	switch {
	case !slices.Contains([]cluster.RequestKind{
		cluster.RequestSwitchover, cluster.RequestFailover, cluster.RequestPause, cluster.RequestResume, cluster.RequestRejoin,
		cluster.RequestMaintenance, cluster.RequestMaintenanceEnd}, a.Kind):
		return bad(fmt.Sprintf("there is no request of kind %q", a.Kind), "use switchover, failover, pause, resume, maintenance, maintenance-end or rejoin")
	case a.To != "" && !takesTo:
		return bad(fmt.Sprintf("a %s has no \"to\"", a.Kind), "leave it out")
	case a.Force && a.Kind != cluster.RequestFailover && a.Kind != cluster.RequestRejoin:
		return bad(fmt.Sprintf("a %s cannot be forced", a.Kind), "only a failover and a rejoin can")
	case (a.Method != "" || a.Drop) && a.Kind != cluster.RequestRejoin:
		return bad(fmt.Sprintf("a %s has no \"method\" and drops nothing", a.Kind), "leave it out")
	case a.To != "" && !slices.Contains(data, a.To):
		return bad(fmt.Sprintf("%q is no data node of cluster %s", a.To, settings.Cluster), fmt.Sprintf("use one of %s", names(data)))
	case a.Kind == cluster.RequestRejoin && !slices.Contains(data, a.Node):
		return bad(fmt.Sprintf("%q is no data node of cluster %s", a.Node, settings.Cluster), fmt.Sprintf("name one of %s", names(data)))
	case a.Kind == cluster.RequestMaintenance || a.Kind == cluster.RequestMaintenanceEnd:
		if _, ok := settings.Node(a.Node); !ok {
			return bad(fmt.Sprintf("%q is no node of cluster %s", a.Node, settings.Cluster), fmt.Sprintf("name one of %s", names(allNodes(settings))))
		}
	}
	return nil
}

func allNodes(settings cluster.Settings) []cluster.NodeName {
	var all []cluster.NodeName
	for _, n := range settings.Nodes {
		all = append(all, n.Name)
	}
	return all
}

func names(nodes []cluster.NodeName) string {
	var b strings.Builder
	for i, n := range nodes {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(n))
	}
	return b.String()
}
