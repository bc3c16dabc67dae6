package db

import (
	"errors"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Config says how to reach the server of this host, and who its sources are.
type Config struct {
	Socket string // path of the server's unix socket
	// Agent is the account that observes and takes the steps of a switch.
	Agent Account
	// Writer is the local account of probes and markers. It must not have a
	// privilege that read_only does not bind: what it writes obeys read_only.
	Writer Account
	// ExtraPort, if not 0, is tried over the loopback address when the server
	// has no slots left: extra_port of MariaDB, admin_port of MySQL.
	ExtraPort int
	// Acks is how many acknowledgements a commit is to wait for: a source that waits
	// for fewer is observed as weak. 0: that is not judged.
	Acks int
	// NodeOf names the node that a replication source is, by the host and port
	// that the server was told. Sources that it does not know are foreign.
	NodeOf func(host string, port int) (cluster.NodeName, bool)
}

// Validate says what is missing.
func (c Config) Validate() error {
	var missing []error
	require := func(there bool, what string) {
		if !there {
			missing = append(missing, errors.New(what))
		}
	}
	require(c.Socket != "", "no path of the server's unix socket")
	require(c.Agent.User != "", "no user for the agent")
	require(c.Writer.User != "", "no user for the write probe")
	require(c.Writer.User != c.Agent.User, "the write probe needs an account of its own, which read_only binds")
	require(c.NodeOf != nil, "nothing to tell nodes from foreign sources by")
	return errors.Join(missing...)
}

// Accounts are the users that Baton has on every server of a cluster.
type Accounts struct {
	// Agent looks and takes steps, from the server's own host. An empty
	// password lets in the operating system's user of that name and nobody
	// else (unix_socket of MariaDB, auth_socket of MySQL).
	Agent Account
	// Probe writes Baton's own rows from the server's own host, and from other
	// hosts may do nothing but log in.
	Probe Account
	// Replication is for the replicas.
	Replication Account
	// From are the hosts that replicas and observers connect from, in the
	// server's notation; none means everywhere.
	From []string
}
