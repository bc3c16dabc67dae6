package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
)

func TestPagesFindTheirTablespaceByName(t *testing.T) {
	there := map[uint32]string{0: "innodb_system", 5: "shop/orders", 6: "shop/items", 7: "shop/gone"}
	used, err := listedPages(strings.NewReader("5,3\n0,7\n6,1\n5,9\n99,1\n7,2\n"), there)
	if err != nil {
		t.Fatal(err)
	}
	if want := (pages{"shop/orders": {3, 9}, "shop/items": {1}, "shop/gone": {2}}); !maps.EqualFunc(used, want, slices.Equal) {
		t.Errorf("used are %v, want %v", used, want)
	}
	var sent bytes.Buffer
	if err := used.send(&sent); err != nil {
		t.Fatal(err)
	}
	got, err := receivedPages(&sent)
	if err != nil || !maps.EqualFunc(got, used, slices.Equal) {
		t.Errorf("received are %v (%v), want %v", got, err, used)
	}
	var list bytes.Buffer
	n, err := got.list(&list, map[uint32]string{0: "innodb_system", 31: "shop/items", 42: "shop/orders"})
	if want := "31,1\n42,3\n42,9\n"; err != nil || list.String() != want || n != 3 {
		t.Errorf("%d pages are listed as %q (%v), want %q", n, list.String(), err, want)
	}
}

func (p pages) count() (n int) {
	for _, of := range p {
		n += len(of)
	}
	return n
}

func TestAListOfPagesThatMakesNoSense(t *testing.T) {
	for _, text := range []string{"5\n", "5,x\n", "-1,2\n", "5,4294967296\n"} {
		if p, err := listedPages(strings.NewReader(text), map[uint32]string{5: "a/b"}); err == nil {
			t.Errorf("%q: %v", text, p)
		}
	}
	for _, text := range []string{"7\n", "=a/b\nx\n", "=a/b\n-1\n", "=\n5\n"} {
		if p, err := receivedPages(strings.NewReader(text)); err == nil {
			t.Errorf("%q: %v", text, p)
		}
	}
}

// pool is a server that lists and reads pages.
type pool struct {
	file    string
	names   map[uint32]string
	dumps   int
	loading chan struct{} // closed once a load has begun
	blocks  bool          // a load lasts until it is ended
}

func (p *pool) PoolFile(context.Context) (string, error) { return p.file, nil }
func (p *pool) DumpPool(_ context.Context, percent int) (string, error) {
	p.dumps++
	return p.file, os.WriteFile(p.file, []byte("5,1\n5,2\n"), 0o600)
}
func (p *pool) Tablespaces(context.Context) (map[uint32]string, error) { return p.names, nil }
func (p *pool) LoadPool(ctx context.Context) error {
	close(p.loading)
	if !p.blocks {
		return nil
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

func newPreheater(t *testing.T, self cluster.NodeName, s *pool) (*preheater, *string) {
	s.file, s.loading = filepath.Join(t.TempDir(), "ib_buffer_pool"), make(chan struct{})
	said := new(string)
	return &preheater{self: self, server: s, log: slog.New(slog.DiscardHandler), say: func(d string) { *said = d },
		config: func() config.Preheat { return config.Preheat{Every: time.Minute, Percent: 25} },
		ask: func(context.Context, cluster.NodeName) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("=shop/orders\n1\n2\n")), nil
		}}, said
}

func steadyUnder(primary cluster.NodeName) cluster.Record {
	return cluster.Record{Epoch: 3, Phase: cluster.PhaseSteady, Primary: primary}
}

func TestAReplicaReadsWhatThePrimaryUses(t *testing.T) {
	server := &pool{names: map[uint32]string{8: "shop/orders"}}
	p, said := newPreheater(t, "db2", server)
	p.saw(steadyUnder("db1"))
	p.once(t.Context(), time.Minute)
	if list, err := os.ReadFile(server.file); err != nil || string(list) != "8,1\n8,2\n" {
		t.Errorf("the server is to read %q (%v)", list, err)
	}
	if *said != "2 pages that db1 uses" {
		t.Errorf("it says %q", *said)
	}
}

func TestPreheatingStopsWhenASwitchBegins(t *testing.T) {
	server := &pool{names: map[uint32]string{8: "shop/orders"}, blocks: true}
	p, said := newPreheater(t, "db2", server)
	p.saw(steadyUnder("db1"))
	over := make(chan struct{})
	go func() { defer close(over); p.once(t.Context(), time.Hour) }()
	<-server.loading
	p.saw(steadyUnder("db1")) // a record that changes nothing
	select {
	case <-over:
		t.Fatal("it was stopped for nothing")
	default:
	}
	p.saw(cluster.Record{Epoch: 4, Phase: cluster.PhaseElecting, Previous: "db1"})
	<-over
	if *said != "stopped, for a switch began" {
		t.Errorf("it says %q", *said)
	}
}

func TestWhoIsNoReplicaInASteadyReignReadsNothing(t *testing.T) {
	for name, r := range map[string]cluster.Record{
		"there is no record":       {},
		"it is the primary":        steadyUnder("db2"),
		"a switch goes on":         {Epoch: 4, Phase: cluster.PhaseHandoff, Primary: "db1", Candidate: "db2"},
		"it is being recloned":     func() cluster.Record { r := steadyUnder("db1"); r.Rejoin = &cluster.Rejoin{Node: "db2"}; return r }(),
		"it is fenced and elected": {Epoch: 4, Phase: cluster.PhaseElecting},
	} {
		server := &pool{}
		p, _ := newPreheater(t, "db2", server)
		p.saw(r)
		p.ask = func(context.Context, cluster.NodeName) (io.ReadCloser, error) {
			t.Errorf("%s, and the primary is asked", name)
			return nil, errors.New("no")
		}
		p.once(t.Context(), time.Minute)
	}
}

func TestOnlyAPrimaryTellsWhatItUses(t *testing.T) {
	server := &pool{names: map[uint32]string{5: "shop/orders"}}
	p, _ := newPreheater(t, "db1", server)
	p.saw(steadyUnder("db2"))
	if used, err := p.used(t.Context()); err == nil {
		t.Errorf("a replica tells %v", used)
	}
	p.saw(steadyUnder("db1"))
	for range 2 {
		if used, err := p.used(t.Context()); err != nil || used.count() != 2 {
			t.Errorf("the primary tells %v, %v", used, err)
		}
	}
	if server.dumps != 1 {
		t.Errorf("two replicas that ask at once had it listed %d times", server.dumps)
	}
	p.config = func() config.Preheat { return config.Preheat{} }
	if used, err := p.used(t.Context()); err == nil {
		t.Errorf("nobody wants it, and it tells %v", used)
	}
}
