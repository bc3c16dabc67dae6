package template_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/command"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
	"github.com/baton-db/baton/internal/endpoint/template"
	"github.com/baton-db/baton/internal/render"
)

// world is a file, and a program that reads it when it is told to.
type world struct {
	dir string
	o   template.Options
}

func begin(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{dir: dir}
	w.o = template.Options{
		File: w.path("primary.conf"), Note: w.path("state/app.json"), Mode: 0o640, UID: -1, GID: -1, Limit: time.Minute, Cluster: "shop",
		Text:    "primary {{.Primary.HostPort}}\n{{range .Replicas}}replica {{.HostPort}}\n{{end}}epoch {{.Epoch}}\n",
		Check:   w.script("check", `! grep -q bad "$BATON_FILE" || { echo "line 1: bad"; exit 1; }`),
		Reload:  w.script("reload", `cat "$BATON_FILE" >> `+w.path("loaded")+` && echo "$BATON_PRIMARY" >> `+w.path("reloads")),
		Servers: []render.Server{server("db1", "10.77.0.11"), server("db2", "10.77.0.12")},
	}
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) script(name, text string) []string {
	path := w.path(name)
	if err := os.WriteFile(path, []byte("set -e\n"+text+"\n"), 0o600); err != nil {
		panic(err)
	}
	return []string{"sh", path}
}

func (w *world) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(w.path(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

func (w *world) open(t *testing.T) *template.Endpoint {
	t.Helper()
	e, err := template.Open("app", w.o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func server(node, address string) render.Server {
	return render.Server{Node: cluster.NodeName(node), Address: netip.MustParseAddr(address), Port: 3306}
}

func at(node string, epoch cluster.Epoch, address string) endpoint.Target {
	return endpoint.Target{Epoch: epoch, Node: cluster.NodeName(node), Addresses: []netip.Addr{netip.MustParseAddr(address)}, Port: 3306}
}

func here() endpoint.Target  { return at("db1", 7, "10.77.0.11") }
func there() endpoint.Target { return at("db2", 8, "10.77.0.12") }

const hereText = "primary 10.77.0.11:3306\nreplica 10.77.0.12:3306\nepoch 7\n"

func TestAFileBehavesAsAnEndpoint(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) endpointtest.Subject {
		w := begin(t)
		return endpointtest.Subject{
			Endpoint: w.open(t), Again: func() endpoint.Endpoint { return w.open(t) }, Here: here(), There: there(),
			Meddle: func(context.Context) error { return os.Remove(w.o.File) },
		}
	})
}

func TestAFileIsRenderedLoadedOnceAndHasItsMode(t *testing.T) {
	w := begin(t)
	for range 2 {
		if err := w.open(t).Set(t.Context(), here()); err != nil { // by another agent the second time
			t.Fatal(err)
		}
	}
	if got := w.read(t, "loaded"); got != hereText || w.read(t, "primary.conf") != hereText {
		t.Errorf("loaded: %s", got)
	}
	info, err := os.Stat(w.o.File)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(w.path(".baton-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAnOwnerIsGiven(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may give files away")
	}
	w := begin(t)
	w.o.UID, w.o.GID = 65534, 65534
	if err := w.open(t).Set(t.Context(), here()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(w.o.File)
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); s.Uid != 65534 || s.Gid != 65534 {
		t.Errorf("it belongs to %d:%d", s.Uid, s.Gid)
	}
}

func TestANewReignThatChangesNothingReloadsNothing(t *testing.T) {
	w := begin(t)
	w.o.Text = "{{.Primary.HostPort}}\n"
	e := w.open(t)
	for _, epoch := range []cluster.Epoch{7, 8} {
		target := here()
		target.Epoch = epoch
		if err := e.Set(t.Context(), target); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := e.Observe(t.Context()); err != nil || got.Epoch != 8 || w.read(t, "reloads") != "db1\n" {
		t.Errorf("%+v, %v; reloads: %s", got, err, w.read(t, "reloads"))
	}
}

func TestALinkStaysALink(t *testing.T) {
	w := begin(t)
	if err := os.WriteFile(w.path("real.conf"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.conf", w.o.File); err != nil {
		t.Fatal(err)
	}
	if err := w.open(t).Set(t.Context(), here()); err != nil {
		t.Fatal(err)
	}
	if w.read(t, "real.conf") != hereText {
		t.Error("the link was replaced")
	}
}

// Each case spoils the move from db1 to db2: db1's file is in place again, and
// whoever reads it has read that last.
func TestWhatIsRefusedIsTakenBack(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil  func(w *world)
		says   string
		loaded string
	}{
		"the check fails": {func(w *world) { w.o.Text = "bad\n" },
			"check: run sh: exit status 1: it says: line 1: bad; what was there before is back", hereText},
		"the check hangs": {func(w *world) { w.o.Check, w.o.Limit = w.script("check", "exec sleep 1000"), 50*time.Millisecond },
			"check: run sh: it did not end in time and was killed (limit 50ms); what was there before is back", hereText},
		"the check is missing": {func(w *world) { w.o.Check = []string{"baton-no-such-program"} },
			"check: run baton-no-such-program: executable file not found in $PATH; what was there before is back", hereText},
		"the reload fails": {func(w *world) {
			w.o.Reload = w.script("reload", `cat "$BATON_FILE" >> `+w.path("loaded")+`; ! grep -q 'epoch 8' "$BATON_FILE" || { echo cannot; exit 2; }`)
		}, "reload: run sh: exit status 2: it says: cannot; what was there before is back", hereText + "primary 10.77.0.12:3306\nreplica 10.77.0.11:3306\nepoch 8\n" + hereText},
		"no reload works": {func(w *world) { w.o.Reload = []string{"false"} },
			"reload: run false: exit status 1; and then: reload what was there before: run false: exit status 1", hereText},
	} {
		t.Run(name, func(t *testing.T) {
			w := begin(t)
			if err := w.open(t).Set(t.Context(), here()); err != nil {
				t.Fatal(err)
			}
			tt.spoil(w)
			e := w.open(t)
			err := e.Set(t.Context(), there())
			if err == nil || err.Error() != tt.says {
				t.Errorf("got  %v\nwant %s", err, tt.says)
			}
			if got := w.read(t, "primary.conf"); got != hereText {
				t.Errorf("the file: %s", got)
			}
			if got := w.read(t, "loaded"); got != tt.loaded {
				t.Errorf("loaded: %s", got)
			}
			if got, err := e.Observe(t.Context()); err != nil || got.Node != "db1" {
				t.Errorf("it leads to %s, %v", got, err)
			}
		})
	}
}

func TestAFirstFileThatIsRefusedIsTakenAway(t *testing.T) {
	w := begin(t)
	w.o.Text = "bad\n"
	if err := w.open(t).Set(t.Context(), here()); err == nil {
		t.Error("it was not refused")
	}
	if _, err := os.Stat(w.o.File); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
}

func TestAFileThatSomebodyEditsIsPutRight(t *testing.T) {
	w := begin(t)
	e := w.open(t)
	if err := e.Set(t.Context(), here()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.o.File, []byte("primary 10.77.0.12:3306\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) {
		t.Errorf("it was edited, and it says: %v", err)
	}
	if err := e.Set(t.Context(), here()); err != nil || w.read(t, "loaded") != hereText+hereText {
		t.Errorf("%v; loaded: %s", err, w.read(t, "loaded"))
	}
}

// The agent dies between the file and its reload: the next one does it all.
func TestAFileThatWasNeverLoadedIsLoaded(t *testing.T) {
	w := begin(t)
	if err := os.WriteFile(w.o.File, []byte(hereText), 0o600); err != nil {
		t.Fatal(err)
	}
	e := w.open(t)
	if _, err := e.Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) {
		t.Errorf("nobody has loaded it, and it says: %v", err)
	}
	if err := e.Set(t.Context(), here()); err != nil || w.read(t, "loaded") != hereText {
		t.Errorf("%v; loaded: %s", err, w.read(t, "loaded"))
	}
}

// The end of a reign in the middle of a reload brings back what was there.
func TestAMoveThatIsGivenUpIsTakenBack(t *testing.T) {
	w := begin(t)
	if err := w.open(t).Set(t.Context(), here()); err != nil {
		t.Fatal(err)
	}
	begun := w.path("begun")
	if err := syscall.Mkfifo(begun, 0o600); err != nil {
		t.Fatal(err)
	}
	w.o.Reload = w.script("reload", fmt.Sprintf(`if grep -q 'epoch 8' "$BATON_FILE"; then echo > %s; exec sleep 1000; fi; cat "$BATON_FILE" >> %s`, begun, w.path("loaded")))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	e := w.open(t)
	go func() { done <- e.Set(ctx, there()) }()
	if _, err := os.ReadFile(begun); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || errors.Is(err, command.ErrTooLong) {
		t.Errorf("got %v", err)
	}
	if w.read(t, "loaded") != hereText+hereText || w.read(t, "primary.conf") != hereText {
		t.Errorf("loaded: %s", w.read(t, "loaded"))
	}
}

func TestWhereNothingCanBeWrittenItIsSaid(t *testing.T) {
	w := begin(t)
	w.o.File = w.path("no/such/dir/primary.conf")
	if err := w.open(t).Set(t.Context(), here()); err == nil || !strings.Contains(err.Error(), "write "+w.o.File) {
		t.Errorf("got %v", err)
	}
	if _, err := template.Open("app", template.Options{Text: "{{.Nobody}}"}); err == nil {
		t.Error("a template that cannot be rendered was opened")
	}
}
