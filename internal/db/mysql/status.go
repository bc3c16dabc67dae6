package mysql

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/wire"
)

// replication is a server's status as a replica over its unnamed channel, the
// only one that Baton uses.
type replication struct {
	wire.Replica

	received   string // Retrieved_Gtid_Set: whole transactions only
	sourceFile string // where the receiver stands, in the source's binary log
	sourcePos  uint64
	place      string // all of the above that moves
}

const showReplication = "SHOW REPLICA STATUS"

func readReplication(status []map[string]string) replication {
	var r replication
	for _, row := range status {
		if channel := row["Channel_Name"]; channel != "" {
			r.Others = append(r.Others, fmt.Sprintf("%s:%s over the channel %q", row["Source_Host"], row["Source_Port"], channel))
			continue
		}
		r.Configured = row["Source_Host"] != ""
		r.Host, r.Port = row["Source_Host"], int(wire.Number(row["Source_Port"]))
		r.Receiver, r.Applier = row["Replica_IO_Running"], row["Replica_SQL_Running"]
		r.received = row["Retrieved_Gtid_Set"]
		r.sourceFile, r.sourcePos = row["Source_Log_File"], wire.Number(row["Read_Source_Log_Pos"])
		r.IOError = row["Last_IO_Error"]
		r.SQLErrno, r.SQLError = int(wire.Number(row["Last_SQL_Errno"])), row["Last_SQL_Error"]
		r.place = strings.Join([]string{row["Source_Log_File"], row["Read_Source_Log_Pos"], r.received}, " ")
	}
	return r
}

// replicationStatus asks for the status.
func replicationStatus(ctx context.Context, l *wire.Link) (replication, error) {
	status, err := l.Query(ctx, showReplication)
	if err != nil {
		return replication{}, fmt.Errorf("read the replication status: %w", err)
	}
	return readReplication(status), nil
}

// ownedBy is the thread that has a transaction under way, in gtid_owned.
var ownedBy = regexp.MustCompile(`#\d+`)

// executedSet reads what a server has in its data.
//
// A commit that waits for its acknowledgement is in the binary log and with the
// replicas, a restart would complete it, and gtid_executed does not know it yet:
// gtid_owned does. A replica's applier owns what it is about to apply, so what a
// replica owns does not count.
func (m *memory) executedSet(executed, owned string, replica bool) (gtid.Set, error) {
	if replica {
		owned = ""
	}
	if m.executed == executed && m.owned == owned && !m.set.IsZero() {
		return m.set, nil
	}
	set, err := gtid.Parse(executed)
	if err != nil {
		return gtid.Set{}, fmt.Errorf("read what is applied: %w", err)
	}
	waiting, err := gtid.Parse(strings.ReplaceAll(ownedBy.ReplaceAllString(owned, ""), "\n", ""))
	if err != nil {
		return gtid.Set{}, fmt.Errorf("read what is being committed: %w", err)
	}
	m.executed, m.owned, m.set = executed, owned, set.Union(waiting)
	return m.set, nil
}

const selectExecuted = "SELECT @@global.gtid_executed AS executed, @@global.gtid_owned AS owned"

// executed reads what is applied.
func (s *session) executed(ctx context.Context, replica bool) (gtid.Set, error) {
	got, err := s.Link.Query(ctx, selectExecuted)
	if err != nil {
		return gtid.Set{}, fmt.Errorf("read what is applied: %w", err)
	}
	return new(memory).executedSet(got[0]["executed"], got[0]["owned"], replica)
}

// held reads what the server holds, to the last complete transaction of its
// relay log.
func (s *session) held(ctx context.Context) (db.Held, replication, error) {
	r, err := replicationStatus(ctx, s.Link)
	if err != nil {
		return db.Held{}, r, err
	}
	received, err := gtid.Parse(r.received)
	if err != nil {
		return db.Held{}, r, fmt.Errorf("read what was received: %w", err)
	}
	// Read after what was received: what is applied meanwhile is in both.
	executed, err := s.executed(ctx, r.Configured)
	if err != nil {
		return db.Held{}, r, err
	}
	marker, err := wire.Marker(ctx, s.Link)
	return db.Held{Executed: executed, Received: executed.Union(received), Marker: marker}, r, err
}
