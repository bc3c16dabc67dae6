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
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/baton-db/baton/internal/agent"
	"github.com/baton-db/baton/internal/cli"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/mariadb"
	"github.com/baton-db/baton/internal/pki"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, cli.Wiring{Run: run, NewAuthority: newAuthority, AccountsSQL: accountsSQL}))
}

// run runs the daemon, and tells systemd when it watches and when it stops.
func run(ctx context.Context, c *config.Config, ready func()) error {
	log := slog.New(handler(c.Log))
	return agent.Run(ctx, agent.Options{Config: c, Build: cli.Version(), Log: log, Ready: func() {
		_, _ = daemon.SdNotify(false, daemon.SdNotifyReady) // no systemd: nothing to tell
		ready()
	}})
}

func handler(l config.Log) slog.Handler {
	o := &slog.HandlerOptions{Level: l.Slog()}
	if l.Format == "json" {
		return slog.NewJSONHandler(os.Stderr, o)
	}
	return slog.NewTextHandler(os.Stderr, o)
}

// authority is the cluster's own, as the command line uses it.
type authority struct{ *pki.Authority }

func newAuthority(clusterName string) (cli.Authority, error) {
	a, err := pki.NewAuthority(clusterName, time.Now())
	return authority{a}, err
}

func (a authority) Certificate() []byte { return a.Pair().Cert }
func (a authority) Key() []byte         { return a.Pair().Key }

func (a authority) Issue(node cluster.NodeName, address netip.Addr) (cert, key []byte, err error) {
	p, err := a.Authority.Issue(string(node), []netip.Addr{address}, time.Now())
	return p.Cert, p.Key, err
}

func accountsSQL(a cli.Accounts) []string {
	var from []string
	for _, addr := range a.From {
		from = append(from, addr.String())
	}
	return mariadb.LeastPrivilegeSQL(mariadb.Accounts{
		Agent:       db.Account{User: a.Agent},
		Replication: db.Account{User: a.Replication.User, Password: a.Replication.Password},
		Probe:       db.Account{User: a.Probe.User, Password: a.Probe.Password},
		From:        from,
	})
}
