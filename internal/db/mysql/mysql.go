// Package mysql answers what package db asks, of Oracle's MySQL 8.0.26 and
// newer. It is tested on 9.7; for 8.0 and 8.4 it follows their documentation.
//
// It never decides anything. The one rule: a commit that nobody acknowledged is
// answered to nobody. MySQL releases such commits only by ending
// semi-synchronous replication, with OK: so every session that waits loses its
// client first (see ReleaseWaiters).
package mysql

import (
	"context"
	"fmt"
	"sync"

	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/wire"
)

// Server is the MySQL server of this host.
type Server struct {
	*wire.Server

	// plain is held by whoever makes a read-only server plainly so, which binds
	// all but administrators, to write as one. Nobody looks meanwhile.
	plain sync.RWMutex

	mu   sync.Mutex // guards what follows
	seen memory
}

var _ db.Server = (*Server)(nil)

func dialect() wire.Dialect {
	return wire.Dialect{
		Flavor:   "mysql",
		Settings: map[string]string{"max_execution_time": "0"}, // our own deadlines rule
		// No lock can be waited for shorter than this.
		ProbeSettings:  map[string]string{"lock_wait_timeout": "1", "innodb_lock_wait_timeout": "1"},
		LockWaits:      []string{"Waiting for global read lock", "Waiting for commit lock", "Waiting for backup lock", "Waiting for table metadata lock"},
		EventOnReplica: "DISABLE ON SLAVE", // ON REPLICA from 8.2 on, which still takes this
		Registered:     "SHOW REPLICAS",
		ReadOnlyOption: "super-read-only",
		Identify:       identify,
		Persisted:      persisted,
	}
}

// Open prepares a server for use. It connects to nothing yet.
func Open(c db.Config) (*Server, error) {
	shared, err := wire.Open(c, dialect())
	if err != nil {
		return nil, err
	}
	return &Server{Server: shared}, nil
}

// session is the connection for the steps of a switch.
type session struct {
	*wire.Session
	server *Server
}

var _ db.Session = (*session)(nil)

// Session implements db.Server.
func (s *Server) Session(ctx context.Context) (db.Session, error) {
	shared, err := s.Server.Session(ctx)
	if err != nil {
		return nil, fmt.Errorf("the server at %s: %w", s.Socket, err)
	}
	return &session{Session: shared, server: s}, nil
}
