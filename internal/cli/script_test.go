package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/baton-db/baton/internal/api/apitest"
	"github.com/baton-db/baton/internal/api/public"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/config/initcmd"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/timeline"
)

func TestMain(m *testing.M) {
	// Whoever starts this program with a command is answered by the command, whatever
	// name he starts it by: keepalived resolves links, and must not run tests.
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, testWiring()))
	}
	testscript.Main(m, map[string]func(){
		"baton": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, testWiring())) },
	})
}

// testWiring stands in for what cmd/baton brings: certificates that say whose
// they are, SQL that names the accounts, and a host that is as the
// configuration's log level says: error is a host that no daemon may run on.
func testWiring() Wiring {
	look := func(_ context.Context, c *config.Config) config.Findings {
		found := config.Findings{{Key: "host", What: "looked at for " + string(c.Node), Mend: "nothing to mend", Severity: config.Warning}}
		if c.Log.Level == "error" {
			found = append(found, config.Finding{Key: "host", What: "it burns", Mend: "put it out", Severity: config.Error})
		}
		return found
	}
	return Wiring{
		Issue: issue,
		AccountsSQL: func(a initcmd.Accounts) (string, error) {
			var b strings.Builder
			for _, a := range []initcmd.Account{a.Agent, a.Replication, a.Probe} {
				fmt.Fprintf(&b, "CREATE USER %s BY %s;\n", a.User, a.Password)
			}
			return b.String(), nil
		},
		Check: look, CheckStart: look,
		Notify: func(_ context.Context, c *config.Config, only string) ([]Told, error) {
			var all []Told
			for _, t := range c.Notify.Targets {
				if only == "" || only == t.Name {
					all = append(all, Told{Name: t.Name, Kind: t.Kind, Error: t.From}) // a text that only a mail has
				}
			}
			return all, nil
		},
		Run: func(_ context.Context, c *config.Config, ready func()) error {
			ready()
			fmt.Println("the daemon of", c.Node, "ran")
			return nil
		},
	}
}

func issue(name string, nodes []config.Node) (initcmd.Certificates, error) {
	c := initcmd.Certificates{
		CA: []byte("authority of " + name + "\n"), CAKey: []byte("key of " + name + "\n"),
		Nodes: map[cluster.NodeName]initcmd.Pair{},
	}
	for _, n := range nodes {
		c.Nodes[n.Name] = initcmd.Pair{Cert: fmt.Appendf(nil, "certificate of %s at %s\n", n.Name, n.Address), Key: fmt.Appendf(nil, "key of %s\n", n.Name)}
	}
	return c, nil
}

// Every script has a healthy cluster shop behind $SOCKET, and may say
//
//	cluster healthy|broken|lagging|observed|watched|leads|follows|obeys|refuses|rolls-back|ignores|store-gone
//	code N command…    the command ends with exactly that code
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       os.Getenv("UPDATE_GOLDEN") != "",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			socket := filepath.Join(env.WorkDir, "s")
			c := apitest.Start(cleaner{env, t}, socket, apitest.Shop())
			c.Remember(history())
			env.Setenv("SOCKET", socket)
			env.Values["cluster"] = c
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"cluster": func(ts *testscript.TestScript, _ bool, args []string) {
				c := ts.Value("cluster").(*apitest.Cluster)
				switch args[0] {
				case "healthy":
					c.Set(apitest.Shop())
				case "broken":
					c.Set(apitest.Broken())
				case "observed":
					c.Set(apitest.Observed())
				case "watched":
					c.Set(apitest.Watched())
				case "cutoff":
					c.Set(apitest.CutOff())
				case "leads":
					c.Show(public.Look{Node: "db1", NotReplica: "this node is primary"})
				case "follows":
					c.Show(public.Look{Node: "db1", NotPrimary: "db2 is primary", AppliedAt: -cluster.Instant(3 * time.Second)})
				case "lagging":
					c.Set(apitest.Lagging())
				default:
					c.Behave(apitest.Behaviour(args[0]))
				}
			},
			"code": exitsWith,
		},
	})
}

// cleaner lets apitest end with a script instead of with the whole test.
type cleaner struct {
	*testscript.Env
	t *testing.T
}

func (c cleaner) Cleanup(f func())  { c.Defer(f) }
func (c cleaner) Fatal(args ...any) { c.t.Fatal(args...) }

// exitsWith runs a command and wants an exact exit code, which testscript's
// own exec cannot tell apart from any other failure.
func exitsWith(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: code N command…")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("run %v: %v", args[1:], err)
		}
		got = strconv.Itoa(exit.ExitCode())
	}
	if got != args[0] {
		ts.Fatalf("%v ended with %s, want %s", args[1:], got, args[0])
	}
}

// history is that of a failover at epoch 7, from two nodes.
func history() []timeline.NodePart {
	clocks := map[cluster.NodeName]cluster.Instant{"db1": 5_000_000_000, "db2": 77_000_000_000}
	var now cluster.Instant // milliseconds of the story
	nodes := map[cluster.NodeName]*timeline.Recorder{}
	for n, offset := range clocks {
		nodes[n] = timeline.NewRecorder(timeline.Options{Node: n, Clock: string(n), Now: func() cluster.Instant { return offset + now*1_000_000 }})
	}
	rec := func(phase cluster.Phase, primary cluster.NodeName) cluster.Record {
		return cluster.Record{
			Schema: 1, Epoch: 7, Phase: phase, Primary: primary, Previous: "db2", By: "db1",
			Reason: cluster.PrimaryResigned, Detail: "mariadbd was killed by signal 9", Since: "2026-03-01T02:58:07Z",
		}
	}
	for _, c := range []struct {
		at      cluster.Instant
		rev     cluster.Revision
		phase   cluster.Phase
		primary cluster.NodeName
		why     cluster.Reason
	}{
		{100, 11, cluster.PhaseElecting, "", cluster.PrimaryResigned},
		{130, 12, cluster.PhasePromoting, "db1", cluster.PromisesIn},
		{190, 13, cluster.PhaseSteady, "db1", cluster.ReignBegan},
	} {
		now = c.at
		nodes["db1"].Swapped(rec(c.phase, c.primary), c.rev, c.why, "")
		now += 2
		nodes["db2"].Saw(rec(c.phase, c.primary), c.rev)
		if c.phase == cluster.PhasePromoting {
			gate := nodes["db1"].Begin(timeline.StepOpenGate, "")
			now += 40
			gate.End(timeline.OK, "")
		}
	}
	return append(nodes["db1"].Unsaved(), nodes["db2"].Unsaved()...)
}
