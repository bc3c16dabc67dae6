package cli

import (
	"context"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/config/initcmd"
)

// Wiring is what commands need of packages that this one may not see: a
// command line that cannot reach a database cannot harm one. cmd/baton hands it
// over; the commands whose part is missing say so.
type Wiring struct {
	// Run runs this host's daemon until ctx ends. ready is called once it
	// watches the cluster.
	Run func(ctx context.Context, c *config.Config, ready func()) error
	// Check looks at the host and at the servers that a configuration names,
	// and changes nothing. It includes Config.CheckFiles.
	Check func(context.Context, *config.Config) config.Findings
	// CheckStart is the part of Check that keeps a daemon from starting on this
	// host. A server that is down does not.
	CheckStart func(context.Context, *config.Config) config.Findings
	// Issue makes a cluster's own certificate authority and its certificates.
	Issue func(cluster string, nodes []config.Node) (initcmd.Certificates, error)
	// AccountsSQL returns the statements that make Baton's accounts on the
	// primary, each with the least privileges that do.
	AccountsSQL func(initcmd.Accounts) (string, error)
	// Notify tells a test to a target of notify.targets, or to all.
	Notify func(ctx context.Context, c *config.Config, only string) ([]Told, error)
}
