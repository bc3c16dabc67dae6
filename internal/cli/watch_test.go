package cli

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/api/apitest"
	"github.com/baton-db/baton/internal/core/cluster"
)

// running is a command that goes on, with its output read line by line.
type running struct {
	t     *testing.T
	out   *bufio.Scanner
	stop  func()
	ended chan int
}

func begin(t *testing.T, e *env, args ...string) *running {
	t.Helper()
	r, w := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	e.out, e.err, e.in = w, io.Discard, strings.NewReader("")
	if e.width == nil {
		e.width = func() int { return 100 }
	}
	b := &running{t: t, out: bufio.NewScanner(r), stop: stop, ended: make(chan int, 1)}
	go func() {
		code := run(ctx, args, e)
		w.Close()
		b.ended <- code
	}()
	t.Cleanup(func() { stop(); r.Close() })
	return b
}

func (r *running) line() string {
	r.t.Helper()
	if !r.out.Scan() {
		r.t.Fatalf("the output has ended: %v", r.out.Err())
	}
	return r.out.Text()
}

func TestWatchWritesALinePerChange(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	c := apitest.Start(t, socket, apitest.Shop())
	w := begin(t, &env{}, "status", "--watch", "--socket", socket)
	got := []string{w.line()} // from here on the stream is open
	c.Set(apitest.Broken())
	for range 5 {
		got = append(got, w.line())
	}
	want := []string{
		"2026-03-01T03:10:00Z shop: steady, primary db1, epoch 7",
		"2026-03-01T03:10:00Z epoch 8 electing, paused, by db3, lease-expired: db1 has not renewed for 780ms",
		"2026-03-01T03:10:00Z no action: awaiting-promises: needed are the promises of 2 of db2, db3, or of db1 itself",
		"2026-03-01T03:10:00Z db2: replication-broken: error 1236",
		"2026-03-01T03:10:00Z db2: not-realtime",
		"2026-03-01T03:10:00Z request switchover-x refused: request-refused: a switch is going on already",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.stop()
	if code := <-w.ended; code != 0 {
		t.Errorf("a watch that a person ends ended with %d", code)
	}
}

func TestWatchRedrawsATerminal(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	c := apitest.Start(t, socket, apitest.Shop())
	w := begin(t, &env{screen: true, utf8: true}, "status", "--watch", "--socket", socket)
	until := func(text string) string {
		for {
			if line := w.line(); strings.Contains(line, text) {
				return line
			}
		}
	}
	if line := until("primary db1"); !strings.Contains(line, "\x1b[2J") {
		t.Errorf("the screen is not cleared before it is drawn: %q", line)
	}
	c.Set(apitest.Broken())
	until("electing, no primary")
	if line := until("replication-broken"); !strings.HasPrefix(line, "\x1b[31m") {
		t.Errorf("what is broken is not red: %q", line)
	}
	w.stop()
	for w.out.Scan() { // a drawing may be under way
	}
	if code := <-w.ended; code != 0 {
		t.Errorf("a watch that a person ends ended with %d", code)
	}
}

func TestAPersonIsAsked(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		args   []string
		code   int
		asked  int
		says   string
	}{
		"yes":               {"y\n", nil, 0, 1, "Take the write role of cluster shop away from db1? [y/N] "},
		"no":                {"n\n", nil, 1, 0, "not confirmed; nothing was asked of the cluster"},
		"nothing":           {"", nil, 1, 0, "not confirmed"},
		"the risk is named": {"y\n", []string{"--force"}, 0, 1, "although acknowledged writes may be lost? [y/N] "},
	} {
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "s")
			c := apitest.Start(t, socket, apitest.Shop())
			var out, said bytes.Buffer
			code := run(t.Context(), append([]string{"failover", "--socket", socket}, tt.args...),
				&env{asks: true, in: strings.NewReader(tt.answer), out: &out, err: &said, width: func() int { return 0 }})
			if code != tt.code || len(c.Asked()) != tt.asked || !strings.Contains(said.String(), tt.says) {
				t.Errorf("ended with %d, asked the cluster %d times, said %q", code, len(c.Asked()), said.String())
			}
			if tt.asked == 1 && c.Asked()[0].Kind != cluster.RequestFailover {
				t.Errorf("asked for a %s", c.Asked()[0].Kind)
			}
		})
	}
}

func TestLocale(t *testing.T) {
	for name, tt := range map[string]struct {
		vars map[string]string
		want bool
	}{
		"none":                     {nil, false},
		"utf-8":                    {map[string]string{"LANG": "de_DE.UTF-8"}, true},
		"C":                        {map[string]string{"LANG": "C"}, false},
		"LC_ALL comes before LANG": {map[string]string{"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, false},
		"C.utf8":                   {map[string]string{"LC_ALL": "C.utf8"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := utf8Locale(func(k string) string { return tt.vars[k] }); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
