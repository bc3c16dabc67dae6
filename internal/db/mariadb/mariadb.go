// Package mariadb answers what package db asks, of MariaDB 10.6 and newer.
//
// It never decides anything. The one rule: replication threads are never
// started while both of them stand still and something received is not
// applied: with GTIDs, MariaDB then throws its relay log away (see apply.go).
package mariadb

import (
	"context"
	"fmt"
	"sync"

	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/wire"
)

// Server is the MariaDB server of this host.
type Server struct {
	*wire.Server

	mu    sync.Mutex // guards what follows
	seen  memory
	relay relayScan
}

var _ db.Server = (*Server)(nil)

func dialect() wire.Dialect {
	return wire.Dialect{
		Flavor:         "mariadb",
		Settings:       map[string]string{"max_statement_time": "0"}, // our own deadlines rule
		ProbeSettings:  map[string]string{"lock_wait_timeout": "0", "innodb_lock_wait_timeout": "0"},
		EventOnReplica: "DISABLE ON SLAVE",
		Registered:     "SHOW SLAVE HOSTS",
		ReadOnlyOption: "read-only",
		Identify:       identify,
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
