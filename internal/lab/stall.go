package lab

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/baton-db/baton/internal/lab/network"
)

// theStall is the name of the cut by which replication stands still.
const theStall = "stall"

// StallReplication has the replicas of a node receive nothing more over the
// connections that they have, and nobody notice for some seconds: frames of those
// alone are lost. What the node commits from then on is nowhere else, until the
// replicas connect again.
func (l *Lab) StallReplication(ctx context.Context, node string) error {
	conn := l.open(node)
	defer conn.Close()
	rows, err := conn.QueryContext(ctx, "SELECT host FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'")
	if err != nil {
		return fmt.Errorf("stall the replication from %s: %w", node, err)
	}
	defer rows.Close()
	var ports []int
	for rows.Next() {
		var host string
		if err := rows.Scan(&host); err != nil {
			return fmt.Errorf("stall the replication from %s: %w", node, err)
		}
		_, text, err := net.SplitHostPort(host)
		port, notNumber := strconv.Atoi(text)
		if err != nil || notNumber != nil {
			return fmt.Errorf("stall the replication from %s: a replica is at %q", node, host)
		}
		ports = append(ports, port)
	}
	if err := rows.Err(); err != nil || len(ports) == 0 {
		return fmt.Errorf("stall the replication from %s: it has %d replicas: %w", node, len(ports), err)
	}
	return l.net.Cut(ctx, theStall, network.Streams(node, Port, ports))
}

// ResumeReplication ends that.
func (l *Lab) ResumeReplication(ctx context.Context) error { return l.net.Mend(ctx, theStall) }
