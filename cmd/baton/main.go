// Command baton moves the write role of a database cluster. See `baton --help`.
//
// It joins what may not see each other: the command line, which cannot reach a
// database or a host's network, and the packages that can.
package main

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/agent"
	"github.com/baton-db/baton/internal/cli"
	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/config/initcmd"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/flavor"
	"github.com/baton-db/baton/internal/doctor"
	"github.com/baton-db/baton/internal/pki"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, cli.Wiring{
		Run: run, Check: doctor.Check, CheckStart: checkStart, Issue: issue, AccountsSQL: accountsSQL, Notify: tryNotify,
	}))
}

// run runs the daemon, and tells systemd when it watches and when it stops.
func run(ctx context.Context, c *config.Config, ready func()) error {
	level := new(slog.LevelVar)
	level.Set(c.Log.Slog())
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, unix.SIGHUP)
	defer signal.Stop(reload)
	return agent.Run(ctx, agent.Options{Config: c, Build: cli.Version(), Log: slog.New(handler(c.Log, level)),
		Ready: func() {
			_, _ = daemon.SdNotify(false, daemon.SdNotifyReady) // no systemd: nothing to tell
			ready()
		},
		Lacks:     lacks(c),
		Successor: successor(c.File),
		DieAt:     os.Getenv("BATON_DIE_AT"),                  // the end-to-end tests set it
		Wall:      clock.Wall(os.Getenv("BATON_CLOCK_AHEAD")), // likewise
		Reload:    reload, Reloaded: func(c *config.Config) { level.Set(c.Log.Slog()) },
	})
}

func tryNotify(ctx context.Context, c *config.Config, only string) ([]cli.Told, error) {
	tried, err := agent.TryNotify(ctx, c, only)
	var all []cli.Told
	for _, t := range tried {
		told := cli.Told{Name: t.Name, Kind: t.Kind}
		if t.Err != nil {
			told.Error = t.Err.Error()
		}
		all = append(all, told)
	}
	return all, err
}

// lacks says what would keep an agent from starting on this host if it were to
// act.
func lacks(c *config.Config) func(context.Context) []string {
	active := *c
	active.Mode = cluster.Active
	return func(ctx context.Context) []string {
		var all []string
		for _, f := range doctor.CheckStart(ctx, &active).Errors() {
			all = append(all, f.String())
		}
		return all
	}
}

func handler(l config.Log, level slog.Leveler) slog.Handler {
	o := &slog.HandlerOptions{Level: level}
	if l.Format == "json" {
		return slog.NewJSONHandler(os.Stderr, o)
	}
	return slog.NewTextHandler(os.Stderr, o)
}

// checkStart logs what is no reason to stay away; the rest is the command's.
func checkStart(ctx context.Context, c *config.Config) config.Findings {
	found := doctor.CheckStart(ctx, c)
	if len(found.Errors()) == 0 {
		log := slog.New(handler(c.Log, c.Log.Slog()))
		for _, f := range found {
			log.WarnContext(ctx, "config check", "finding", f.String())
		}
	}
	return found
}

// issue makes a new authority and what it signs.
func issue(clusterName string, nodes []config.Node) (initcmd.Certificates, error) {
	now := time.Now()
	authority, err := pki.NewAuthority(clusterName, now)
	if err != nil {
		return initcmd.Certificates{}, err
	}
	made := initcmd.Certificates{CA: authority.Pair().Cert, CAKey: authority.Pair().Key, Nodes: map[cluster.NodeName]initcmd.Pair{}}
	for _, n := range nodes {
		p, err := authority.Issue(string(n.Name), []netip.Addr{n.Address}, now)
		if err != nil {
			return initcmd.Certificates{}, err
		}
		made.Nodes[n.Name] = initcmd.Pair(p)
	}
	return made, nil
}

// accountsSQL is a script for the server's own client program.
func accountsSQL(a initcmd.Accounts) (string, error) {
	driver, err := flavor.Of(a.Flavor)
	if err != nil {
		return "", err
	}
	var from []string
	for _, n := range a.Nodes {
		from = append(from, n.Address.String())
	}
	statements := driver.Accounts(db.Accounts{
		Agent: db.Account(a.Agent), Replication: db.Account(a.Replication), Probe: db.Account(a.Probe), From: from,
	})
	return strings.Join(statements, ";\n") + ";\n", nil
}
