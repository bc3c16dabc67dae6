// Package mariadb answers what package db asks, of MariaDB 10.6 and newer.
//
// It never decides anything. The one rule: replication threads are never
// started while both of them stand still and something received is not
// applied: with GTIDs, MariaDB then throws its relay log away (see apply.go).
package mariadb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
)

// Config says how to reach the server of this host, and who its sources are.
type Config struct {
	Socket string // path of the server's unix socket
	// Agent is the account that observes and takes the steps of a switch.
	Agent db.Account
	// Writer is the local account of probes and markers. It must not have the
	// privilege READ_ONLY ADMIN: what it writes obeys read_only.
	Writer db.Account
	// ExtraPort, if not 0, is tried over the loopback address when the server
	// has no slots left (its variable extra_port).
	ExtraPort int
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

// Server is the MariaDB server of this host.
type Server struct {
	config Config

	look  *held // observation, and questions about the other connections
	read  *held // the read probe
	write writeProbe

	mu    sync.Mutex // guards what follows
	seen  memory
	relay relayScan
}

var _ db.Server = (*Server)(nil)

// Open prepares a server for use. It connects to nothing yet.
func Open(c Config) (*Server, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("open the server at %q: %w", c.Socket, err)
	}
	s := &Server{config: c}
	s.look = newHeld(s.dialer(c.Agent, true))
	s.read = newHeld(s.dialer(c.Agent, false))
	s.write.held = newHeld(s.dialer(c.Writer, false))
	return s, nil
}

// Close ends all connections.
func (s *Server) Close() error {
	s.write.close()
	return errors.Join(s.look.close(), s.read.close())
}

// WriteMarker implements db.Server.
func (s *Server) WriteMarker(ctx context.Context, epoch cluster.Epoch, node cluster.NodeName) error {
	l, err := s.dialer(s.config.Writer, false)(ctx)
	if err != nil {
		return fmt.Errorf("write the marker of epoch %d: %w", epoch, err)
	}
	defer l.close()
	// Counted, so that a repetition is a transaction of its own, which must be
	// acknowledged anew: the first one may be in the data without having been.
	const marker = "INSERT INTO baton.epochs (epoch, node) VALUES (?, ?) ON DUPLICATE KEY UPDATE node = VALUES(node), writes = writes + 1"
	if _, err := l.conn.ExecContext(ctx, marker, uint64(epoch), string(node)); err != nil {
		return fmt.Errorf("write the marker of epoch %d: %w", epoch, inOurWords(err))
	}
	return nil
}

// quote writes text as a string literal. The server's backslash escapes are on
// in every connection of ours (see dialer).
func quote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\x00", `\0`).Replace(text) + "'"
}

// name writes text as an identifier.
func name(text string) string { return "`" + strings.ReplaceAll(text, "`", "``") + "`" }
