package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/datadir"
	"github.com/baton-db/baton/internal/db"
)

// recloned is a host with old data, on which a copy can be put in place.
type recloned struct {
	*cloner
	place  datadir.Place
	did    []string // what was done to the server, and what it was told
	held   string
	broken bool // the server does not come up with anything but its old data
	stuck  bool // the server cannot be stopped
}

func newRecloned(t *testing.T) *recloned {
	t.Helper()
	dir := t.TempDir()
	r := &recloned{place: datadir.Place(filepath.Join(dir, "data"))}
	put(t, filepath.Join(string(r.place), "ibdata1"), "old")
	r.cloner = &cloner{self: "db3", flavor: "mariadb", journal: datadir.Journal(filepath.Join(dir, "reclone.json")), database: recloneServer{r: r},
		log: slog.New(slog.DiscardHandler), say: func(string) {}, unfinished: func(why string) { r.held = why }}
	r.start = func(context.Context) error {
		r.did = append(r.did, "start "+r.data(t))
		if r.broken && r.data(t) != "old" {
			return errors.New("the server ended at once")
		}
		return nil
	}
	r.stop = func(context.Context) error {
		if r.stuck {
			return errors.New("the server runs still")
		}
		r.did = append(r.did, "stop "+r.data(t))
		return nil
	}
	return r
}

func put(t *testing.T, file, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(file), 0o700)
	if err == nil {
		err = os.WriteFile(file, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (r *recloned) data(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(string(r.place), "ibdata1"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// copied is a whole copy beside the data, as copy leaves it.
func (r *recloned) copied(t *testing.T) datadir.State {
	t.Helper()
	look, err := r.place.Look()
	if err == nil {
		err = r.place.Begin(look, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(r.place.Copy(), "ibdata1"), "new")
	if err := r.place.Seal(look, "r1"); err != nil {
		t.Fatal(err)
	}
	return datadir.State{ID: "r1", Dir: r.place, Donor: "db2", Old: r.place.OldName(time.Unix(0, 0)), Logged: "0-1-5"}
}

// recloneServer is the server as it is spoken with: it takes connections, and
// notes what it is told.
type recloneServer struct {
	db.Server
	r *recloned
}

type recloneSession struct {
	db.Session
	db.Undoing
	r *recloned
}

func (s recloneServer) Session(context.Context) (db.Session, error) {
	return recloneSession{r: s.r}, nil
}

func (s recloneSession) SetReadOnly(context.Context, bool, time.Duration) error { return nil }
func (s recloneSession) Close() error                                           { return nil }
func (s recloneSession) Reseed(_ context.Context, state string) error {
	s.r.did = append(s.r.did, "holds "+state)
	return nil
}

var step = reconcile.Step{Kind: reconcile.Reclone, Node: "db2", Asked: "r1"}

// TestAnInterruptedExchangeIsTakenUp: an agent that finds a copy in place that its
// server was not told of goes on there, and holds the node until then.
func TestAnInterruptedExchangeIsTakenUp(t *testing.T) {
	r := newRecloned(t)
	at := r.copied(t)
	if err := errors.Join(r.journal.Save(at), r.place.Put("r1", at.Old)); err != nil {
		t.Fatal(err)
	}
	if why := r.resume(); !strings.Contains(why, "not finished") {
		t.Errorf("a new agent does not hold the node: %q", why)
	}
	detail, err := r.reclone(t.Context(), step)
	if err != nil || !strings.Contains(detail, at.Old) || r.data(t) != "new" {
		t.Fatalf("%q, %v, the data is %s", detail, err, r.data(t))
	}
	if got := strings.Join(r.did, ", "); got != "stop new, start new, holds 0-1-5" || r.held != "" {
		t.Errorf("it did: %s; held: %q", got, r.held)
	}
	if why := r.resume(); why != "" || at.Placed() {
		t.Errorf("it is still unfinished: %q", why)
	}
}

func TestAServerThatDoesNotComeUpGetsItsOldDataBack(t *testing.T) {
	r := newRecloned(t)
	r.broken = true
	at := r.copied(t)
	if err := r.putInPlace(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	if r.held == "" || r.data(t) != "new" {
		t.Fatalf("held %q with data that is %s", r.held, r.data(t))
	}
	if _, err := r.reclone(t.Context(), step); err == nil || !strings.Contains(err.Error(), "ended at once") {
		t.Errorf("it failed with %v", err)
	}
	if last := r.did[len(r.did)-1]; r.data(t) != "old" || last != "start old" || r.held != "" {
		t.Errorf("the data is %s, held %q, did %v", r.data(t), r.held, r.did)
	}
	if why := r.resume(); why != "" {
		t.Errorf("still unfinished: %s", why)
	}
}

func TestAServerThatCannotBeStoppedKeepsItsData(t *testing.T) {
	r := newRecloned(t)
	r.stuck = true
	if err := r.putInPlace(t.Context(), r.copied(t)); err == nil || r.data(t) != "old" || len(r.did) != 0 || r.held != "" {
		t.Errorf("%v, the data is %s, did %v, held %q", err, r.data(t), r.did, r.held)
	}
	if _, err := os.Stat(r.place.Copy()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copy was left behind: %v", err)
	}
}

// An agent that died while the copy grew removes it and holds nothing.
func TestAHalfCopyIsRemovedAtTheNextStart(t *testing.T) {
	r := newRecloned(t)
	at := r.copied(t)
	if err := r.journal.Save(at); err != nil {
		t.Fatal(err)
	}
	if why := r.resume(); why != "" || r.data(t) != "old" {
		t.Errorf("held %q, the data is %s", why, r.data(t))
	}
	if _, err := os.Stat(r.place.Copy()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copy was left behind: %v", err)
	}
	if s, err := r.journal.Load(); err != nil || s.ID != "" {
		t.Errorf("the journal: %+v, %v", s, err)
	}
}

func TestDataGoesOnlyToWhomTheRecordSays(t *testing.T) {
	c := &cloner{self: "db2"}
	if err := c.mayGive("db3", asking{"r1"}); err == nil {
		t.Error("before there is a record")
	}
	var s situation
	s.set(cluster.Record{Rejoin: &cluster.Rejoin{ID: "r1", Node: "db3", Donor: "db2", Method: cluster.Reclone}}, nil)
	c.seen.Store(&s)
	if err := c.mayGive("db3", asking{"r1"}); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"another node":    c.mayGive("db1", asking{"r1"}),
		"another request": c.mayGive("db3", asking{"r0"}),
		"another donor":   (func() error { d := &cloner{self: "db1"}; d.seen.Store(&s); return d.mayGive("db3", asking{"r1"}) })(),
	} {
		if err == nil {
			t.Errorf("%s got the data", name)
		}
	}
}
