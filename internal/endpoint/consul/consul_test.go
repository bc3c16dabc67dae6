package consul_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/consul"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
)

const (
	theKey = "services/shop/primary one"
	token  = "b1gs3cr3t-2f0e"
)

// server speaks Consul's HTTP API for keys and values as it is documented:
// https://developer.hashicorp.com/consul/api-docs/kv
type server struct {
	*httptest.Server
	mu     sync.Mutex
	index  int64
	keys   map[string]entry
	fails  bool // no leader
	silent bool
	before func() // of the next write, once
	writes int
}

type entry struct {
	LockIndex, Flags, CreateIndex, ModifyIndex int64
	Key                                        string
	Value                                      []byte
}

func start(t *testing.T) *server {
	s := &server{index: 7, keys: map[string]entry{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent {
		s.mu.Unlock()
		<-r.Context().Done()
		s.mu.Lock()
		return
	}
	key, ok := strings.CutPrefix(r.URL.Path, "/v1/kv/")
	given := r.Header.Get("X-Consul-Token")
	switch {
	case err != nil || !ok:
		http.Error(w, "bad request", http.StatusBadRequest)
	case s.fails:
		http.Error(w, "No cluster leader", http.StatusInternalServerError)
	case given != "" && given != token:
		http.Error(w, "ACL not found", http.StatusForbidden)
	case given == "":
		http.Error(w, fmt.Sprintf("Permission denied: token with AccessorID '00000000-0000-0000-0000-000000000002' lacks permission 'key:read' on %q", key), http.StatusForbidden)
	case r.Method == http.MethodGet:
		s.get(w, key)
	case r.Method == http.MethodPut:
		s.put(w, r, key, body)
	}
}

func (s *server) get(w http.ResponseWriter, key string) {
	w.Header().Set("X-Consul-Index", strconv.FormatInt(s.index, 10))
	e, there := s.keys[key]
	if !there {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode([]entry{e})
}

func (s *server) put(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	if s.before != nil {
		s.before()
		s.before = nil
	}
	cas, err := strconv.ParseInt(r.URL.Query().Get("cas"), 10, 64)
	if err != nil {
		http.Error(w, "a write of Baton's has to say what it replaces", http.StatusBadRequest)
		return
	}
	if s.keys[key].ModifyIndex != cas { // 0: only if there is none
		fmt.Fprint(w, "false")
		return
	}
	s.store(key, body)
	fmt.Fprint(w, "true")
}

func (s *server) store(key string, value []byte) {
	s.index++
	s.writes++
	e := s.keys[key]
	if e.CreateIndex == 0 {
		e.CreateIndex = s.index
	}
	e.Key, e.Value, e.ModifyIndex = key, value, s.index
	s.keys[key] = e
}

func open(s *server, change ...func(*consul.Options)) *consul.Endpoint {
	o := consul.Options{URLs: []string{s.URL}, Key: theKey, Token: token, Cluster: "shop"}
	for _, c := range change {
		c(&o)
	}
	return consul.Open("app", o)
}

func at(node string, epoch cluster.Epoch, address string) endpoint.Target {
	return endpoint.Target{Epoch: epoch, Node: cluster.NodeName(node), Addresses: []netip.Addr{netip.MustParseAddr(address)}, Port: 3306}
}

func here() endpoint.Target { return at("db1", 7, "10.77.0.11") }

func TestAKeyBehavesAsAnEndpoint(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) endpointtest.Subject {
		s := start(t)
		return endpointtest.Subject{
			Endpoint: open(s), Again: func() endpoint.Endpoint { return open(s) },
			Here: here(), There: at("db2", 7, "10.77.0.12"),
			Meddle:  func(context.Context) error { s.change(func() { delete(s.keys, theKey) }); return nil },
			Silence: func() { s.change(func() { s.silent = true }) },
		}
	})
}

func TestTheValueIsWhatIsDocumentedAndWrittenOnce(t *testing.T) {
	s := start(t)
	e := open(s)
	for range 2 {
		if err := e.Set(t.Context(), here()); err != nil {
			t.Fatal(err)
		}
	}
	const want = `{"cluster":"shop","epoch":7,"node":"db1","address":"10.77.0.11","port":3306}`
	if got := string(s.keys[theKey].Value); got != want || s.writes != 1 {
		t.Errorf("after %d writes the key holds %s, want %s", s.writes, got, want)
	}
}

func TestWhoeverWritesInBetweenIsNotOverwrittenByAnOlderReign(t *testing.T) {
	s := start(t)
	newer, err := json.Marshal(endpoint.ValueOf("shop", at("db2", 8, "10.77.0.12")))
	if err != nil {
		t.Fatal(err)
	}
	s.before = func() { s.store(theKey, newer) } // after the read, before the write
	var old *endpoint.OldEpochError
	if err := open(s).Set(t.Context(), here()); !errors.As(err, &old) || old.Known != 8 {
		t.Errorf("epoch 7 while 8 is written: %v", err)
	}
	if got := s.keys[theKey].Value; string(got) != string(newer) {
		t.Errorf("the key holds %s", got)
	}
}

func TestWhatSomebodyElseWroteIsReplaced(t *testing.T) {
	s := start(t)
	for _, value := range []string{"", "db1:3306", `{"cluster":"crm","epoch":30,"node":"db7"}`} {
		s.store(theKey, []byte(value))
		if _, err := open(s).Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) {
			t.Errorf("%q: %v", value, err)
		}
		if err := open(s).Set(t.Context(), here()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatGoesWrongIsSaidAndShowsNoToken(t *testing.T) {
	s := start(t)
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, tt := range map[string]struct {
		change func(*consul.Options)
		fails  bool
		says   string
	}{
		"no token":                   {func(o *consul.Options) { o.Token = "" }, false, `403 Forbidden: Permission denied: token with AccessorID`},
		"a token that nobody knows":  {func(o *consul.Options) { o.Token = "other-t0ken" }, false, `403 Forbidden: ACL not found`},
		"no leader":                  {nil, true, `500 Internal Server Error: No cluster leader`},
		"nobody listens":             {func(o *consul.Options) { o.URLs = []string{gone.URL} }, false, `connection refused`},
		"nobody listens, two of two": {func(o *consul.Options) { o.URLs = []string{gone.URL, gone.URL} }, false, `connection refused`},
	} {
		t.Run(name, func(t *testing.T) {
			s.change(func() { s.fails = tt.fails })
			e := open(s, func(o *consul.Options) {
				if tt.change != nil {
					tt.change(o)
				}
			})
			_, look := e.Observe(t.Context())
			for what, err := range map[string]error{"look": look, "set": e.Set(t.Context(), here())} {
				if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "t0ken") || strings.Contains(err.Error(), token) {
					t.Errorf("%s: %v, want that it says %q", what, err, tt.says)
				}
			}
		})
	}
}

func TestAServerThatCannotHelpIsPassedOver(t *testing.T) {
	s, lost := start(t), start(t)
	lost.fails = true
	e := open(s, func(o *consul.Options) { o.URLs = []string{lost.URL, s.URL} })
	if err := e.Set(t.Context(), here()); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Observe(t.Context()); err != nil || got.Node != "db1" {
		t.Errorf("it leads to %s, %v", got, err)
	}
}

func TestAServerThatHangsLeavesTimeForTheNext(t *testing.T) {
	s, hung := start(t), start(t)
	hung.silent = true
	e := open(s, func(o *consul.Options) { o.URLs = []string{hung.URL, s.URL} })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // a second for each
	defer cancel()
	if _, err := e.Observe(ctx); err != nil {
		t.Error(err)
	}
}
