package wire

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/baton-db/baton/internal/db"
)

// BinaryLogs implements db.Auditing.
func (s *Server) BinaryLogs(ctx context.Context) (paths []string, err error) {
	err = s.Look.Use(ctx, func(l *Link) error {
		at, err := l.Query(ctx, "SELECT @@global.log_bin_basename AS base, @@datadir AS data")
		if err != nil {
			return err
		}
		dir := filepath.Dir(at[0]["base"])
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(at[0]["data"], dir)
		}
		logs, err := l.Query(ctx, "SHOW BINARY LOGS")
		if err != nil {
			return err
		}
		paths = nil
		for _, row := range logs {
			paths = append(paths, filepath.Join(dir, filepath.Base(row["Log_name"])))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the binary logs: %w", InOurWords(err))
	}
	return paths, nil
}

// AskRows implements db.Auditing, on a connection of its own.
func (s *Server) AskRows(ctx context.Context, f func(db.Ask) error) error {
	l, err := s.dialer(s.Agent, false, nil)(ctx)
	if err != nil {
		return fmt.Errorf("ask for rows: %w", InOurWords(err))
	}
	defer l.Close()
	if err := l.Exec(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"); err != nil {
		return fmt.Errorf("ask for rows: %w", InOurWords(err))
	}
	return f(func(query string) ([]map[string]string, error) { return l.Query(ctx, query) })
}

// DescribeTable implements db.Auditing.
func (s *Server) DescribeTable(ctx context.Context, database, table string) (t db.Table, err error) {
	err = s.Look.Use(ctx, func(l *Link) error {
		got, err := l.Query(ctx, `SELECT c.column_name AS name, c.data_type AS type, c.column_type AS whole, c.character_set_name AS charset,
			c.extra AS extra, c.column_key AS part, t.engine AS engine
			FROM information_schema.columns c JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
			WHERE c.table_schema = ? AND c.table_name = ? ORDER BY c.ordinal_position`, database, table)
		if err != nil {
			return err
		}
		t = db.Table{}
		for _, row := range got {
			t.Engine = row["engine"]
			extra := strings.ToUpper(row["extra"])
			t.Columns = append(t.Columns, db.Column{
				Name: row["name"], Type: strings.ToLower(row["type"]), Charset: row["charset"],
				Unsigned:  strings.Contains(strings.ToLower(row["whole"]), "unsigned"),
				Generated: strings.Contains(extra, "VIRTUAL GENERATED") || strings.Contains(extra, "STORED GENERATED"),
				Key:       row["part"] == "PRI",
			})
		}
		return nil
	})
	if err != nil {
		return db.Table{}, fmt.Errorf("describe the table %s.%s: %w", database, table, InOurWords(err))
	}
	return t, nil
}
