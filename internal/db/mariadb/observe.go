package mariadb

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
	state, pos string // gtid_binlog_state, gtid_slave_pos
	executed   gtid.Set

	oldest oldestLogged
}

// observation is one round trip. The marker comes last: where Baton's schema is
// missing, an error ends the batch there.
const observation = `SELECT @@global.read_only AS read_only, @@global.server_id AS server_id,
	@@global.gtid_binlog_state AS state, @@global.gtid_slave_pos AS pos,
	@@global.rpl_semi_sync_master_enabled AS source_semi, @@global.rpl_semi_sync_slave_enabled AS replica_semi,
	@@global.rpl_semi_sync_master_timeout AS semi_timeout, @@global.rpl_semi_sync_master_wait_point AS semi_point,
	@@global.rpl_semi_sync_master_wait_no_slave AS semi_alone;
	` + showReplication + `;
	SHOW GLOBAL STATUS LIKE 'Rpl\_semi\_sync%';
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
	results, err := wire.Batch(ctx, l, observation, 3)
	if err != nil {
		return db.Observation{}, err
	}
	v := results[0][0]
	r := readReplication(results[1])
	semi := map[string]string{}
	for _, row := range results[2] {
		semi[row["Variable_name"]] = row["Value"]
	}
	executed, err := s.parseExecuted(ctx, l, v["state"], v["pos"])
	if err != nil {
		return db.Observation{}, err
	}
	received, complete, err := s.received(ctx, l, r, executed, someRelayLog)
	if err != nil {
		return db.Observation{}, err
	}
	o := db.Observation{Tick: r.tick}
	if !complete {
		o.Problem = "the relay log that an earlier life of the server left is still being read"
	}
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
			wire.IsOn(v["replica_semi"]) || wire.IsOn(semi["Rpl_semi_sync_slave_status"])),
		SemiSrc: cluster.SemiSyncFact{
			Enabled: wire.IsOn(v["source_semi"]),
			Active:  wire.IsOn(semi["Rpl_semi_sync_master_status"]),
			Clients: int(wire.Number(semi["Rpl_semi_sync_master_clients"])),
			Waiting: int(wire.Number(semi["Rpl_semi_sync_master_wait_sessions"])),
			Weak: wire.WeakSemiSync(wire.IsOn(v["source_semi"]), map[string]string{
				"rpl_semi_sync_master_timeout": v["semi_timeout"], "rpl_semi_sync_master_wait_point": v["semi_point"],
				"rpl_semi_sync_master_wait_no_slave": v["semi_alone"],
			}, s.Acks),
		},
	}
	if r.Configured {
		o.Server.Replica.Received = received
	}
	if len(results) > 3 && len(results[3]) > 0 {
		o.Server.Marker = cluster.Epoch(wire.Number(results[3][0]["MAX(epoch)"]))
	}
	return o, nil
}

// parseExecuted turns the server's texts into a set.
func (s *Server) parseExecuted(ctx context.Context, l *wire.Link, state, pos string) (gtid.Set, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &s.seen
	if m.state == state && m.pos == pos && !m.executed.IsZero() {
		return m.executed, nil
	}
	if err := m.oldest.refresh(ctx, l, state); err != nil {
		return gtid.Set{}, err
	}
	set, err := gtid.ParseExecuted(state, pos, m.oldest.first)
	if err != nil {
		return gtid.Set{}, fmt.Errorf("read what is applied: %w", err)
	}
	m.state, m.pos, m.executed = state, pos, set
	return set, nil
}
