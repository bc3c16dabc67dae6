package cli

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/baton-db/baton/internal/api/apitest"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/timeline"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"baton": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, testWiring())) },
	})
}

// testWiring stands in for what cmd/baton brings: certificates that say whose
// they are, and SQL that names the accounts.
func testWiring() Wiring {
	return Wiring{
		NewAuthority: func(name string) (Authority, error) { return testAuthority(name), nil },
		AccountsSQL: func(a Accounts) []string {
			return []string{"CREATE USER " + a.Agent, "CREATE USER " + a.Replication.User + " BY " + a.Replication.Password, "CREATE USER " + a.Probe.User + " BY " + a.Probe.Password}
		},
		Check: func(_ context.Context, c *config.Config) config.Findings {
			return config.Findings{{Key: "host", What: "looked at for " + string(c.Node), Mend: "nothing to mend", Severity: config.Warning}}
		},
	}
}

type testAuthority string

func (a testAuthority) Certificate() []byte { return []byte("authority of " + string(a) + "\n") }
func (a testAuthority) Key() []byte         { return []byte("key of " + string(a) + "\n") }
func (a testAuthority) Issue(n cluster.NodeName, at netip.Addr) (cert, key []byte, err error) {
	return fmt.Appendf(nil, "certificate of %s at %s\n", n, at), fmt.Appendf(nil, "key of %s\n", n), nil
}

// Every script has a healthy cluster shop behind $SOCKET, and may say
//
//	cluster healthy|broken|obeys|refuses|rolls-back|ignores|store-gone
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
