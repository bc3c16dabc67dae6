package cli

import (
	"context"
	"net/netip"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
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
	// NewAuthority makes a cluster's own certificate authority.
	NewAuthority func(clusterName string) (Authority, error)
	// AccountsSQL returns the statements that make Baton's accounts on the
	// primary, each with the least privileges that do.
	AccountsSQL func(Accounts) []string
}

// Authority signs the certificates of one cluster's nodes. Everything is PEM.
type Authority interface {
	Certificate() []byte
	Key() []byte
	Issue(node cluster.NodeName, address netip.Addr) (cert, key []byte, err error)
}

// Accounts are the database users that AccountsSQL makes.
type Accounts struct {
	Agent       string // no password: the system user of the agent, over the unix socket
	Replication Login
	Probe       Login
	From        []netip.Addr // the nodes
}

// Login is a database user with its password.
type Login struct{ User, Password string }
