package wire

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// poolLook is how often a dump or a load of the buffer pool is looked at.
const poolLook = 100 * time.Millisecond

// PoolFile is where the server lists the pages of its buffer pool, and from where
// it reads such a list.
func (s *Server) PoolFile(ctx context.Context) (string, error) {
	l, err := s.DialAgent(ctx)
	if err != nil {
		return "", err
	}
	defer l.Close()
	return poolFile(ctx, l)
}

func poolFile(ctx context.Context, l *Link) (string, error) {
	rows, err := l.Query(ctx, "SELECT @@global.datadir AS dir, COALESCE(@@global.innodb_data_home_dir, '') AS home, @@global.innodb_buffer_pool_filename AS name")
	if err != nil || len(rows) != 1 {
		return "", errors.Join(errors.New("ask where the server lists its buffer pool"), err)
	}
	r := rows[0]
	dir := r["dir"]
	if home := r["home"]; home != "" {
		if dir = home; !filepath.IsAbs(home) {
			dir = filepath.Join(r["dir"], home)
		}
	}
	if filepath.IsAbs(r["name"]) {
		return r["name"], nil
	}
	return filepath.Join(dir, r["name"]), nil
}

// DumpPool has the server list that part of its buffer pool which was used last, in
// percent, and returns the file. It waits until the list is whole.
func (s *Server) DumpPool(ctx context.Context, percent int) (file string, err error) {
	l, err := s.DialAgent(ctx)
	if err != nil {
		return "", err
	}
	defer l.Close()
	if file, err = poolFile(ctx, l); err != nil {
		return "", err
	}
	before, err := os.Stat(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("look at the last list of the buffer pool: %w", err)
	}
	was, err := l.Value(ctx, "SELECT @@global.innodb_buffer_pool_dump_pct")
	if err != nil {
		return "", err
	}
	if err := l.Exec(ctx, fmt.Sprintf("SET GLOBAL innodb_buffer_pool_dump_pct = %d", percent)); err != nil {
		return "", fmt.Errorf("list the buffer pool: %w", err)
	}
	defer func() {
		err = errors.Join(err, l.Exec(ctx, "SET GLOBAL innodb_buffer_pool_dump_pct = "+was))
	}()
	if err := l.Exec(ctx, "SET GLOBAL innodb_buffer_pool_dump_now = ON"); err != nil {
		return "", fmt.Errorf("list the buffer pool: %w", err)
	}
	look := time.NewTicker(poolLook)
	defer look.Stop()
	for {
		// It writes another file and renames it when it is whole.
		if now, err := os.Stat(file); err == nil && (before == nil || !os.SameFile(before, now) || !before.ModTime().Equal(now.ModTime())) {
			return file, nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return "", fmt.Errorf("wait for the list of the buffer pool: %w", ctx.Err())
		}
	}
}

// Tablespaces are the names of the server's tablespaces by their numbers, which are
// every server's own.
func (s *Server) Tablespaces(ctx context.Context) (map[uint32]string, error) {
	l, err := s.DialAgent(ctx)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	table := "INNODB_SYS_TABLESPACES"
	if s.dialect.Flavor == "mysql" {
		table = "INNODB_TABLESPACES"
	}
	rows, err := l.Query(ctx, "SELECT SPACE AS number, NAME AS name FROM information_schema."+table)
	if err != nil {
		return nil, fmt.Errorf("list the tablespaces: %w", err)
	}
	names := map[uint32]string{}
	for _, r := range rows {
		names[uint32(Number(r["number"]))] = r["name"]
	}
	return names, nil
}

// LoadPool has the server read the pages that are listed in its PoolFile, and waits
// until it has. When ctx ends first, the server is told to stop reading.
func (s *Server) LoadPool(ctx context.Context) (err error) {
	l, err := s.DialAgent(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	state := func() (string, error) {
		rows, err := l.Query(ctx, "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_load_status'")
		if err != nil || len(rows) != 1 {
			return "", errors.Join(errors.New("ask how far the buffer pool is loaded"), err)
		}
		return rows[0]["Value"], nil
	}
	before, err := state()
	if err != nil {
		return err
	}
	if err := l.Exec(ctx, "SET GLOBAL innodb_buffer_pool_load_now = ON"); err != nil {
		return fmt.Errorf("load the buffer pool: %w", err)
	}
	look := time.NewTicker(poolLook)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("load the buffer pool: %w", context.Cause(ctx)), s.abortLoad(context.WithoutCancel(ctx)))
		}
		now, err := state()
		switch {
		case ctx.Err() != nil: // above
		case err != nil:
			return err
		case now == before:
		case strings.Contains(now, "load completed"):
			return nil
		case strings.Contains(now, "abort"), strings.Contains(now, "annot"), strings.Contains(now, "rror"):
			return fmt.Errorf("load the buffer pool: the server says %q", now)
		}
	}
}

// abortLoad speaks on a connection of its own: the other one may have broken.
func (s *Server) abortLoad(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	l, err := s.DialAgent(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	return l.Exec(ctx, "SET GLOBAL innodb_buffer_pool_load_abort = ON")
}
