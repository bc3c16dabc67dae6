package mysql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/wire"
)

var _ db.Cloning = (*Server)(nil)

// ServesClones implements db.Cloning.
func (s *Server) ServesClones(ctx context.Context) error {
	return s.Look.Use(ctx, func(l *wire.Link) error { return hasClonePlugin(ctx, l) })
}

// hasClonePlugin refuses a server whose clone plugin is not there. It cannot be
// installed on a read-only server, and one that is not read-only is the primary.
func hasClonePlugin(ctx context.Context, l *wire.Link) error {
	got, err := l.Query(ctx, "SELECT plugin_status AS is_it FROM information_schema.plugins WHERE plugin_name = 'clone'")
	switch {
	case err != nil:
		return fmt.Errorf("see whether the server has the clone plugin: %w", wire.InOurWords(err))
	case len(got) == 0 || got[0]["is_it"] != "ACTIVE":
		return fmt.Errorf("%w: write plugin_load_add = mysql_clone.so into its option file and restart it, or INSTALL PLUGIN clone SONAME 'mysql_clone.so' on a server that takes writes", db.ErrNoClone)
	}
	return nil
}

// CloneFrom implements db.Cloning. The connection is one of its own, for the
// statement lasts as long as the copy; it is ended with ctx.
func (s *Server) CloneFrom(ctx context.Context, source db.Source, dir string, rate int64) error {
	l, err := s.DialAgent(ctx)
	if err != nil {
		return fmt.Errorf("connect to the server: %w", wire.InOurWords(err))
	}
	defer l.Close()
	if err := hasClonePlugin(ctx, l); err != nil {
		return err
	}
	from := net.JoinHostPort(source.Host, fmt.Sprint(source.Port))
	if err := l.Exec(ctx, "SET GLOBAL clone_valid_donor_list = "+wire.Quote(from)); err != nil {
		return fmt.Errorf("let the server clone %s: %w", source.Node, wire.InOurWords(err))
	}
	if err := limitClone(ctx, l, rate); err != nil {
		return err
	}
	err = l.Exec(ctx, fmt.Sprintf("CLONE INSTANCE FROM %s@%s:%d IDENTIFIED BY %s DATA DIRECTORY = %s",
		wire.Quote(source.Account.User), wire.Quote(source.Host), source.Port, wire.Quote(source.Account.Password), wire.Quote(dir)))
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), s.endClone(context.WithoutCancel(ctx), l.ID))
	}
	return fmt.Errorf("clone %s: %w", source.Node, wire.InOurWords(err))
}

// limitClone says how fast the next clone may be. Both limits are those of the
// server that gets the data, in whole MiB per second.
func limitClone(ctx context.Context, l *wire.Link, rate int64) error {
	mib := (rate + 1<<20 - 1) >> 20
	err := l.Exec(ctx, fmt.Sprintf("SET GLOBAL clone_max_data_bandwidth = %d", mib))
	if err == nil {
		err = l.Exec(ctx, fmt.Sprintf("SET GLOBAL clone_max_network_bandwidth = %d", mib))
	}
	if err != nil {
		return fmt.Errorf("limit the speed of the clone: %w", wire.InOurWords(err))
	}
	return nil
}

// endClone ends the statement of a connection that was given up.
func (s *Server) endClone(ctx context.Context, id uint64) error {
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	return s.Look.Use(ctx, func(l *wire.Link) error {
		if err := l.Exec(ctx, fmt.Sprintf("KILL %d", id)); err != nil && wire.Code(err) != noSuchThread {
			return fmt.Errorf("end the clone: %w", wire.InOurWords(err))
		}
		return nil
	})
}

// endTime bounds the end of a clone that nobody wants any more.
const endTime = 5 * time.Second

// noSuchThread is ER_NO_SUCH_THREAD.
const noSuchThread = 1094
