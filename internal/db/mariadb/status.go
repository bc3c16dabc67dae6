package mariadb

import (
	"context"
	"fmt"
	"strings"

	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/wire"
)

// replication is a server's status as a replica over its unnamed connection,
// the only one that Baton uses.
type replication struct {
	wire.Replica

	received   string // Gtid_IO_Pos: whole transactions only
	usingGTID  bool
	relayFile  string // where the applier stands
	relayPos   uint64
	sourceFile string // where the receiver stands, in the source's binary log
	sourcePos  uint64
	// How far the applier came in the source's binary log.
	appliedFile string
	appliedPos  uint64
	heartbeat   string // its period, in seconds
	tick        string
}

const showReplication = "SHOW ALL SLAVES STATUS"

func readReplication(status []map[string]string) replication {
	var r replication
	for _, row := range status {
		if row["Connection_name"] != "" {
			r.Others = append(r.Others, fmt.Sprintf("%s:%s over the connection %q", row["Master_Host"], row["Master_Port"], row["Connection_name"]))
			continue
		}
		r.Configured = row["Master_Host"] != ""
		r.Host, r.Port = row["Master_Host"], int(wire.Number(row["Master_Port"]))
		r.Receiver, r.Applier = row["Slave_IO_Running"], row["Slave_SQL_Running"]
		r.received = row["Gtid_IO_Pos"]
		r.usingGTID = row["Using_Gtid"] != "No"
		r.relayFile, r.relayPos = row["Relay_Log_File"], wire.Number(row["Relay_Log_Pos"])
		r.sourceFile, r.sourcePos = row["Master_Log_File"], wire.Number(row["Read_Master_Log_Pos"])
		r.appliedFile, r.appliedPos = row["Relay_Master_Log_File"], wire.Number(row["Exec_Master_Log_Pos"])
		r.heartbeat = row["Slave_heartbeat_period"]
		r.IOError = row["Last_IO_Error"]
		r.SQLErrno, r.SQLError = int(wire.Number(row["Last_SQL_Errno"])), row["Last_SQL_Error"]
		// Whatever comes in moves one of these: a heartbeat the first, a part
		// of a transaction the next two.
		r.tick = strings.Join([]string{row["Slave_received_heartbeats"], row["Master_Log_File"], row["Read_Master_Log_Pos"], r.received}, " ")
	}
	return r
}

// idle reports that no replication thread runs: starting one would throw the
// relay log away.
func (r replication) idle() bool { return r.Configured && r.ReceiverStopped() && !r.ApplierRuns() }

// replicationStatus asks for the status.
func replicationStatus(ctx context.Context, l *wire.Link) (replication, error) {
	status, err := l.Query(ctx, showReplication)
	if err != nil {
		return replication{}, fmt.Errorf("read the replication status: %w", err)
	}
	return readReplication(status), nil
}

// executed reads what is applied.
func (s *Server) executed(ctx context.Context, l *wire.Link) (gtid.Set, error) {
	got, err := l.Query(ctx, "SELECT @@global.gtid_binlog_state AS state, @@global.gtid_slave_pos AS pos")
	if err != nil {
		return gtid.Set{}, fmt.Errorf("read what is applied: %w", err)
	}
	return s.parseExecuted(ctx, l, got[0]["state"], got[0]["pos"])
}

// held reads what the server holds, to the last complete transaction of its
// relay log.
func (s *Server) held(ctx context.Context, l *wire.Link) (db.Held, replication, error) {
	r, err := replicationStatus(ctx, l)
	if err != nil {
		return db.Held{}, r, err
	}
	// Read after the received position: what is applied meanwhile is in both.
	executed, err := s.executed(ctx, l)
	if err != nil {
		return db.Held{}, r, err
	}
	received, complete, err := s.received(ctx, l, r, executed, wholeRelayLog)
	if err != nil {
		return db.Held{}, r, err
	}
	if !complete {
		return db.Held{}, r, fmt.Errorf("read the relay log from %s: not to its end", r.relayFile)
	}
	marker, err := wire.Marker(ctx, l)
	return db.Held{Executed: executed, Received: received, Marker: marker}, r, err
}

// held reads what the server holds, in a session.
func (s *session) held(ctx context.Context) (db.Held, replication, error) {
	return s.server.held(ctx, s.Link)
}

// executed reads what is applied, in a session.
func (s *session) executed(ctx context.Context) (gtid.Set, error) {
	return s.server.executed(ctx, s.Link)
}
