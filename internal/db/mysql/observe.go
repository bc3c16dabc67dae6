package mysql

import (
	"context"
	"fmt"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/wire"
)

// memory keeps what was parsed last: most observations find the same texts.
type memory struct {
	executed, owned string
	set             gtid.Set
}

// observation is one round trip. What was received is read before what is
// applied: whatever is applied in between is in both. The marker comes last:
// where Baton's schema is missing, an error ends the batch there.
const observation = showReplication + `;
	SELECT @@global.super_read_only AS read_only, @@global.server_id AS server_id, @@global.gtid_executed AS executed, @@global.gtid_owned AS owned,
		(SELECT CONCAT(count_received_heartbeats, ' ', last_heartbeat_timestamp) FROM performance_schema.replication_connection_status WHERE channel_name = '') AS heartbeat;
	SHOW GLOBAL STATUS LIKE 'Rpl\_semi\_sync%';
	SHOW GLOBAL VARIABLES LIKE 'rpl\_semi\_sync%';
	` + wire.SelectMarker

// Observe implements db.Looker.
func (s *Server) Observe(ctx context.Context) (db.Observation, error) {
	var o db.Observation
	err := s.Look.Use(ctx, func(l *wire.Link) (err error) {
		o, err = s.observe(ctx, l)
		return err
	})
	if err != nil {
		return db.Observation{}, fmt.Errorf("observe the server at %s: %w", s.Socket, err)
	}
	return o, nil
}

func (s *Server) observe(ctx context.Context, l *wire.Link) (db.Observation, error) {
	id, err := s.IdentityOf(ctx, l)
	if err != nil {
		return db.Observation{}, err
	}
	s.plain.RLock()
	results, err := wire.Batch(ctx, l, observation, 4)
	s.plain.RUnlock()
	if err != nil {
		return db.Observation{}, err
	}
	r, v, semi := readReplication(results[0]), results[1][0], map[string]string{}
	for _, row := range append(results[2], results[3]...) {
		semi[row["Variable_name"]] = row["Value"]
	}
	s.mu.Lock()
	executed, err := s.seen.executedSet(v["executed"], v["owned"], r.Configured)
	s.mu.Unlock()
	if err != nil {
		return db.Observation{}, err
	}
	o := db.Observation{Tick: v["heartbeat"] + " " + r.place}
	o.Server = cluster.ServerFact{
		State:      cluster.ServerUp,
		Start:      id.Start,
		Flavor:     id.Flavor,
		Version:    id.Version,
		ID:         uint32(wire.Number(v["server_id"])),
		ReadOnly:   wire.IsOn(v["read_only"]),
		BinLog:     id.BinLog,
		LogUpdates: id.LogUpdates,
		Executed:   executed,
		Replica: r.Fact(s.NodeOf,
			// Switched off, it still acknowledges until the receiver restarts.
			wire.IsOn(semi["rpl_semi_sync_replica_enabled"]) || wire.IsOn(semi["Rpl_semi_sync_replica_status"])),
		SemiSrc: cluster.SemiSyncFact{
			Enabled: wire.IsOn(semi["rpl_semi_sync_source_enabled"]),
			Active:  wire.IsOn(semi["Rpl_semi_sync_source_status"]),
			Clients: int(wire.Number(semi["Rpl_semi_sync_source_clients"])),
			Waiting: int(wire.Number(semi["Rpl_semi_sync_source_wait_sessions"])),
			Weak:    wire.WeakSemiSync(wire.IsOn(semi["rpl_semi_sync_source_enabled"]), semi, s.Acks),
		},
	}
	if r.Configured {
		received, err := gtid.Parse(r.received)
		if err != nil {
			return db.Observation{}, fmt.Errorf("read what was received: %w", err)
		}
		o.Server.Replica.Received = executed.Union(received)
	}
	if len(results) > 4 && len(results[4]) > 0 {
		o.Server.Marker = cluster.Epoch(wire.Number(results[4][0]["MAX(epoch)"]))
	}
	return o, nil
}
