package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
)

// follow sets a replica up by hand, as an administrator would.
func (l *Lab) follow(ctx context.Context, replica, source string) error {
	w := l.words()
	return l.do(ctx, replica, w.stop,
		"SET GLOBAL "+w.timeout+"=3", // by default a replica waits a minute for a dead host
		fmt.Sprintf(w.changeSource, source, Port, replicationUser, l.Secrets.Replication),
		w.start)
}

// replicateByHand makes the first data node writable and the others follow it.
func (l *Lab) replicateByHand(ctx context.Context) error {
	nodes := l.DataNodes()
	for _, n := range nodes[1:] {
		if err := l.follow(ctx, n, l.address(nodes[0])); err != nil {
			return err
		}
	}
	if err := l.do(ctx, nodes[0], "SET GLOBAL read_only=OFF"); err != nil {
		return err
	}
	return until(ctx, "all replicas follow", l.Replicating)
}

// bindByHand leads clients to a node, as an administrator would.
func (l *Lab) bindByHand(ctx context.Context, node string) error {
	for _, a := range l.Addresses() {
		if err := l.net.Bind(ctx, node, a); err != nil {
			return err
		}
	}
	return nil
}

// Writable returns the data nodes whose server takes writes. Servers that do
// not answer are not among them.
func (l *Lab) Writable(ctx context.Context) []string {
	answers := make([]bool, len(l.DataNodes()))
	var g errgroup.Group
	for i, n := range l.DataNodes() {
		g.Go(func() error {
			var readOnly bool
			answers[i] = l.ask(ctx, n, "SELECT @@read_only", &readOnly) == nil && !readOnly
			return nil
		})
	}
	g.Wait() //nolint:errcheck // no answer is an answer
	var writable []string
	for i, n := range l.DataNodes() {
		if answers[i] {
			writable = append(writable, n)
		}
	}
	return writable
}

// WritablePrimary is the one data node whose server takes writes.
func (l *Lab) WritablePrimary(ctx context.Context) (string, error) {
	writable := l.Writable(ctx)
	if len(writable) != 1 {
		return "", fmt.Errorf("want one writable server, found %d: %v", len(writable), writable)
	}
	return writable[0], nil
}

// Replicating reports what is wrong with replication, asking nobody but the
// servers: one is writable, all others receive and apply from it, and have
// what it has.
func (l *Lab) Replicating(ctx context.Context) error {
	primary, err := l.WritablePrimary(ctx)
	if err != nil {
		return err
	}
	var position string
	if err := l.ask(ctx, primary, l.words().position, &position); err != nil {
		return err
	}
	var wrong []error
	for _, n := range l.DataNodes() {
		if n != primary {
			wrong = append(wrong, l.following(ctx, n, primary, position))
		}
	}
	return errors.Join(wrong...)
}

func (l *Lab) following(ctx context.Context, replica, primary, position string) error {
	status, err := l.askColumns(ctx, replica, l.words().status)
	if err != nil {
		return err
	}
	source := status["Source_Host"]
	switch {
	case status == nil:
		return fmt.Errorf("%s follows nobody", replica)
	case source != l.address(primary) && source != l.Addresses()[0].String():
		return fmt.Errorf("%s follows %s, the primary is %s", replica, source, primary)
	case status["Replica_IO_Running"] != "Yes" || status["Replica_SQL_Running"] != "Yes":
		return fmt.Errorf("%s: receiver %s, applier %s: %s", replica, status["Replica_IO_Running"], status["Replica_SQL_Running"],
			strings.TrimSpace(status["Last_IO_Error"]+" "+status["Last_SQL_Error"]))
	}
	var reached int
	if err := l.ask(ctx, replica, fmt.Sprintf(l.words().await, position), &reached); err != nil {
		return err
	}
	if reached != 0 {
		return fmt.Errorf("%s has not applied %s yet", replica, position)
	}
	return nil
}

// rows returns what a server holds of one run of the load.
func (l *Lab) rows(ctx context.Context, node string, run uint64) (map[uint64]uint32, error) {
	db := l.open(node)
	defer db.Close()
	rows, err := db.QueryContext(ctx, "SELECT id, server FROM app.writes WHERE run = ?", int64(run))
	if err != nil {
		return nil, fmt.Errorf("read the rows of %s: %w", node, err)
	}
	defer rows.Close()
	have := map[uint64]uint32{}
	for rows.Next() {
		var id uint64
		var server uint32
		if err := rows.Scan(&id, &server); err != nil {
			return nil, fmt.Errorf("read the rows of %s: %w", node, err)
		}
		have[id] = server
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the rows of %s: %w", node, err)
	}
	return have, nil
}
