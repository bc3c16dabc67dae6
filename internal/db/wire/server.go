// Package wire answers what the dialects of the MySQL protocol have in common:
// connections that are held, errors in Baton's words, the session that steps are
// taken on, probes, the rows of Baton's own schema and scheduled events.
//
// It never says how a dialect words something: a Dialect tells. The one rule: a
// connection whose state nobody knows is not used again.
package wire

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
)

// A Dialect is how one kind of server words what all kinds have.
type Dialect struct {
	Flavor string // "mariadb" or "mysql"
	// Settings are variables of every connection of Baton's, beside those that
	// all dialects share.
	Settings map[string]string
	// ProbeSettings are those of the write probe's connection: for no longer
	// than they say it waits for a lock.
	ProbeSettings map[string]string
	// LockWaits are states of a session that waits for a lock longer than the
	// probe's own deadline may be.
	LockWaits []string
	// EventOnReplica is the clause of ALTER EVENT by which an event does not run
	// on a replica, without a trace in the event itself.
	EventOnReplica string
	// Identify reads what is fixed for one life of the server.
	Identify func(context.Context, *Link) (db.Identity, error)
	// ReadOnlyOption is the option by which a server comes up read-only.
	ReadOnlyOption string
	// Persisted reads the options that override the option files at the next
	// start; nil if there are none.
	Persisted func(context.Context, *Link) ([]string, error)
	// Registered is the statement that lists the replicas which registered.
	Registered string
}

// Server is the part of a driver that all dialects share.
type Server struct {
	db.Config
	Look *Held // observation, and questions about the other connections
	Read *Held // the read probe

	dialect  Dialect
	write    writeProbe // Baton's own
	business writeProbe // the user's statement

	mu       sync.Mutex // guards what follows
	link     *Link      // of which connection identity is
	identity db.Identity
}

// Open prepares a server for use. It connects to nothing yet.
func Open(c db.Config, d Dialect) (*Server, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("open the server at %q: %w", c.Socket, err)
	}
	s := &Server{Config: c, dialect: d}
	s.Look = newHeld(s.dialer(c.Agent, true, nil))
	s.Read = newHeld(s.dialer(c.Agent, false, nil))
	s.write.held = newHeld(s.dialer(c.Writer, false, d.ProbeSettings))
	s.business.held = newHeld(s.dialer(c.Writer, false, d.ProbeSettings))
	return s, nil
}

// Close ends all connections.
func (s *Server) Close() error {
	s.write.close()
	s.business.close()
	return errors.Join(s.Look.close(), s.Read.close())
}

// WriteMarker implements db.Server.
func (s *Server) WriteMarker(ctx context.Context, epoch cluster.Epoch, node cluster.NodeName) error {
	l, err := s.DialWriter(ctx)
	if err != nil {
		return fmt.Errorf("write the marker of epoch %d: %w", epoch, err)
	}
	defer l.Close()
	if err := l.Exec(ctx, InsertMarker, uint64(epoch), string(node)); err != nil {
		return fmt.Errorf("write the marker of epoch %d: %w", epoch, InOurWords(err))
	}
	return nil
}

// InsertMarker writes the marker of an epoch and its primary's name. It is counted,
// so that a repetition is a transaction of its own, which must be acknowledged anew:
// the first one may be in the data without having been.
const InsertMarker = "INSERT INTO baton.epochs (epoch, node) VALUES (?, ?) ON DUPLICATE KEY UPDATE node = VALUES(node), writes = writes + 1"

// Marker reads the newest marker in the data.
func Marker(ctx context.Context, l *Link) (cluster.Epoch, error) {
	v, err := l.Value(ctx, SelectMarker)
	if err != nil && Verdict(err) != db.NoSchema {
		return 0, fmt.Errorf("read the newest marker: %w", err)
	}
	return cluster.Epoch(Number(v)), nil
}

// SelectMarker reads the newest marker in the data, as MAX(epoch).
const SelectMarker = "SELECT MAX(epoch) FROM baton.epochs"

// Quote writes text as a string literal. The server's backslash escapes are on
// in every connection of ours (see connect).
func Quote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\x00", `\0`).Replace(text) + "'"
}

// Name writes text as an identifier.
func Name(text string) string { return "`" + strings.ReplaceAll(text, "`", "``") + "`" }
