package wire

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/baton-db/baton/internal/db"
)

// A replica gets every scheduled event as SLAVESIDE_DISABLED (MySQL 8.2 and
// newer: REPLICA_SIDE_DISABLED), be it enabled or disabled on the primary, and
// keeps it so when it is promoted. So the primary
// notes in its data which ones are enabled, and the next one reads that.
// ALTER EVENT … ENABLE, replicated, arrives as SLAVESIDE_DISABLED again, also
// at the old primary. (Tried on MariaDB 10.11
// and MySQL 9.7.)

type event struct{ schema, name, definer, status string }

func (e event) String() string { return e.schema + "." + e.name }

// alter changes whether an event runs, and nothing else: without a definer it
// would get that of the one who alters it.
func (e event) alter(to string) string {
	user, host := e.definer, ""
	if i := strings.LastIndexByte(e.definer, '@'); i >= 0 {
		user, host = e.definer[:i], e.definer[i+1:]
	}
	return fmt.Sprintf("ALTER DEFINER=%s@%s EVENT %s.%s %s", Name(user), Name(host), Name(e.schema), Name(e.name), to)
}

func listEvents(ctx context.Context, l *Link) ([]event, error) {
	got, err := l.Query(ctx, "SELECT event_schema AS s, event_name AS n, definer AS definer, status AS status FROM information_schema.events ORDER BY 1, 2")
	if err != nil {
		return nil, fmt.Errorf("list scheduled events: %w", err)
	}
	var all []event
	for _, row := range got {
		all = append(all, event{row["s"], row["n"], row["definer"], row["status"]})
	}
	return all, nil
}

// recorded returns which events the primary said to be enabled or not.
func recorded(ctx context.Context, l *Link) (map[string]bool, error) {
	got, err := l.Query(ctx, "SELECT schema_name, event_name, enabled FROM baton.events")
	if err != nil && Verdict(err) != db.NoSchema {
		return nil, fmt.Errorf("read which scheduled events were enabled: %w", err)
	}
	was := map[string]bool{}
	for _, row := range got {
		was[event{schema: row["schema_name"], name: row["event_name"]}.String()] = IsOn(row["enabled"])
	}
	return was, nil
}

// RecordEvents implements db.Server.
func (s *Server) RecordEvents(ctx context.Context) (changed bool, err error) {
	var changes []string
	err = s.Look.Use(ctx, func(l *Link) error {
		events, err := listEvents(ctx, l)
		if err != nil {
			return err
		}
		was, err := recorded(ctx, l)
		changes = eventChanges(events, was)
		return err
	})
	if err != nil || len(changes) == 0 {
		return false, err
	}
	l, err := s.DialWriter(ctx)
	if err != nil {
		return false, fmt.Errorf("record scheduled events: %w", err)
	}
	defer l.Close()
	for _, q := range append(append([]string{"BEGIN"}, changes...), "COMMIT") {
		if err := l.Exec(ctx, q); err != nil {
			return false, fmt.Errorf("record scheduled events: %w", InOurWords(err))
		}
	}
	return true, nil
}

// eventChanges are the statements that bring the record up to date. Events that
// are still as a replica has them keep what is recorded of them.
func eventChanges(events []event, was map[string]bool) []string {
	var changes []string
	there := map[string]bool{}
	for _, e := range events {
		there[e.String()] = true
		enabled := e.status == "ENABLED"
		if before, known := was[e.String()]; e.onReplica() || known && before == enabled {
			continue
		}
		changes = append(changes, fmt.Sprintf("REPLACE INTO baton.events VALUES (%s, %s, %t)", Quote(e.schema), Quote(e.name), enabled))
	}
	for gone := range was {
		if !there[gone] {
			changes = append(changes, "DELETE FROM baton.events WHERE CONCAT(schema_name, '.', event_name) = "+Quote(gone))
		}
	}
	return changes
}

// onReplica reports that an event is still as a replica has it.
func (e event) onReplica() bool { return strings.HasSuffix(e.status, "SIDE_DISABLED") }

// EnableEvents implements db.Serving.
func (s *Session) EnableEvents(ctx context.Context) (enabled, unknown []string, err error) {
	err = s.Step(ctx, "carry scheduled events over", func() error {
		// The agent's account is not bound by read_only.
		readOnly, err := s.Link.Value(ctx, "SELECT @@global.read_only")
		if err != nil {
			return err
		}
		if IsOn(readOnly) {
			return db.ErrReadOnly
		}
		events, err := listEvents(ctx, s.Link)
		if err != nil {
			return err
		}
		was, err := recorded(ctx, s.Link)
		if err != nil {
			return err
		}
		var failed []error
		for _, e := range events {
			ran, known := was[e.String()]
			switch {
			case !e.onReplica():
			case !known:
				unknown = append(unknown, e.String())
			case ran:
				if err := s.Exec(ctx, e.alter("ENABLE")); err != nil {
					failed = append(failed, fmt.Errorf("enable %s: %w", e, err))
					continue
				}
				enabled = append(enabled, e.String())
			default:
				if err := s.Exec(ctx, e.alter("DISABLE")); err != nil {
					failed = append(failed, fmt.Errorf("take %s over: %w", e, err))
				}
			}
		}
		return errors.Join(failed...)
	})
	return enabled, unknown, err
}

// DisableEvents implements db.Serving.
func (s *Session) DisableEvents(ctx context.Context) (disabled []string, err error) {
	err = s.Step(ctx, "disable scheduled events", func() error {
		events, err := listEvents(ctx, s.Link)
		if err != nil {
			return err
		}
		if err := s.Exec(ctx, "SET SESSION sql_log_bin = 0"); err != nil {
			return err
		}
		var failed []error
		for _, e := range events {
			if e.status != "ENABLED" {
				continue
			}
			if err := s.Exec(ctx, e.alter(s.server.dialect.EventOnReplica)); err != nil {
				failed = append(failed, fmt.Errorf("disable %s: %w", e, err))
				continue
			}
			disabled = append(disabled, e.String())
		}
		return errors.Join(append(failed, s.Exec(ctx, "SET SESSION sql_log_bin = 1"))...)
	})
	return disabled, err
}
