package agent

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/node"
)

const reloadFile = `node: db1
cluster: shop
profile: fast
data_dir: DIR/data
run_dir: DIR/run
nodes:
  - {name: db1, role: data, address: 10.77.0.11}
  - {name: db2, role: data, address: 10.77.0.12}
  - {name: w1, role: witness, address: 10.77.0.20}
server:
  password_file: secret
  replication: {password_file: secret}
  probe: {password_file: secret}
`

// TestReload holds what SIGHUP does against a sentence about the new file.
func TestReload(t *testing.T) {
	for name, tt := range map[string]struct {
		old, new string // in the file
		check    func(cluster.Settings) bool
		log      []string // what is said of it
		err      string
	}{
		"a preference changes": {"address: 10.77.0.12}", "address: 10.77.0.12, prefer: 7}",
			func(s cluster.Settings) bool { n, _ := s.Node("db2"); return n.Prefer == 7 }, []string{"nodes[db2].prefer: 0 becomes 7", "line=8"}, ""},
		"a limit changes": {"cluster: shop", "cluster: shop\ntiming: {hang: 2s}", func(s cluster.Settings) bool { return s.Hang == 2*time.Second }, []string{"timing.hang: 1s becomes 2s"}, ""},
		"what cannot change at run time is named, the rest is taken over": {"cluster: shop", "cluster: shop\ntiming: {hang: 2s, lease: 900ms}",
			func(s cluster.Settings) bool { return s.Hang == 2*time.Second && s.Lease == 750*time.Millisecond }, []string{"timing.hang: 1s becomes 2s", "NOT changed", "timing.lease: 750ms becomes 900ms: it is not changed at run time: restart the agent"}, ""},
		"a misspelt key changes nothing": {"cluster: shop", "cluster: shop\ntiming: {hang: 2s, lese: 1s}", func(s cluster.Settings) bool { return s.Hang == time.Second }, nil, "lese"},
		"a missing password changes nothing": {"probe: {password_file: secret}", "probe: {password_file: nowhere}\ntiming: {hang: 2s}",
			func(s cluster.Settings) bool { return s.Hang == time.Second }, nil, "nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "baton.yaml")
			write := func(path, text string) {
				t.Helper()
				if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write(filepath.Join(dir, "secret"), "secret\n")
			write(file, reloadFile)
			c, found := config.Load(file)
			if err := found.Err(); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			var reloaded *config.Config
			a := &Agent{Options: Options{Config: c, Log: slog.New(slog.NewTextHandler(&log, nil)), Reloaded: func(c *config.Config) { reloaded = c }},
				settings: c.Settings(), events: make(chan event, 16), rewatch: make(chan []*watcher, 1)}
			if err := a.force(c); err != nil {
				t.Fatal(err)
			}
			write(file, strings.Replace(reloadFile, tt.old, tt.new, 1))

			err := a.reload()
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one about %q", err, tt.err)
				}
				if a.inForce().config != c || len(a.events) != 0 || len(a.rewatch) != 0 || reloaded != nil {
					t.Error("something was taken over all the same")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range tt.log {
				if !strings.Contains(log.String(), w) {
					t.Errorf("the log does not say %q:\n%s", w, &log)
				}
			}
			l := &loop{Node: node.Node{Settings: c.Settings()}}
			(<-a.events)(l)
			if !tt.check(a.inForce().settings) || !tt.check(l.Settings) {
				t.Errorf("in force is %+v, and the loop has %+v", a.inForce().settings, l.Settings)
			}
			if len(<-a.rewatch) != 1 || reloaded != a.inForce().config {
				t.Error("the other node is not watched anew, or nobody was told")
			}
		})
	}
}
