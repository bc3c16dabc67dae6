package mariadb

import (
	"context"
	"fmt"
	"strings"

	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/wire"
)

// StopReceiver implements db.Replication.
//
// With semi-synchronous replication the ending receiver connects to its source
// once more, to end its stream there. Measured on 10.11: 5 ms if the source
// lives, or its path is rejected by a TCP reset, or its process is gone; the
// whole rpl_semi_sync_slave_kill_conn_timeout (5 s by default, here 1 s; at
// most 2 s were seen) if it is frozen or its path swallows packets; and 24 s if
// that is 0. Switching rpl_semi_sync_slave_enabled off first does not help: so
// the path should be rejected before (design.md, section 6).
func (s *session) StopReceiver(ctx context.Context) (held db.Held, err error) {
	err = s.Step(ctx, "stop receiving", func() error {
		if err := s.stopReceiver(ctx); err != nil {
			return err
		}
		held, _, err = s.held(ctx)
		return err
	})
	return held, err
}

func (s *session) stopReceiver(ctx context.Context) error {
	r, err := replicationStatus(ctx, s.Link)
	if err != nil || r.ReceiverStopped() {
		return err
	}
	if !r.ApplierRuns() {
		// As long as the receiver runs, this keeps the relay log; afterwards it
		// would need the way round in apply.go. Its failure is told by
		// WaitApplied.
		if err := s.Exec(ctx, "START SLAVE SQL_THREAD"); err != nil && wire.Code(err) == 0 {
			return err
		}
	}
	if err := s.Exec(ctx, "SET GLOBAL rpl_semi_sync_slave_kill_conn_timeout = 1", "STOP SLAVE IO_THREAD"); err != nil {
		return err
	}
	if r, err = replicationStatus(ctx, s.Link); err != nil {
		return err
	}
	if !r.ReceiverStopped() {
		return wire.Refusal("the receiver was stopped and is " + r.Receiver)
	}
	return nil
}

// allApplied stops the receiver and refuses the step if anything received is not applied.
func (s *session) allApplied(ctx context.Context, step string) (replication, error) {
	return wire.AllApplied(ctx, step, s.held, s.stopReceiver)
}

// Detach implements db.Replication.
func (s *session) Detach(ctx context.Context) error {
	return s.Step(ctx, "forget the source", func() error {
		r, err := s.allApplied(ctx, "RESET SLAVE ALL")
		if err != nil || !r.Configured {
			return err
		}
		// The applier may stand in the middle of a transaction whose rest never
		// came: stopping it rolls that back.
		return s.Exec(ctx, "STOP SLAVE", "RESET SLAVE ALL")
	})
}

// Follow implements db.Replication.
//
// The position to replicate from is gtid_slave_pos. That of a server that wrote
// on its own, an old primary, knows nothing of its own writes: it is first
// brought up to the binary log. (MASTER_USE_GTID=current_pos would do that at
// every start of replication, also after somebody wrote by mistake.)
func (s *session) Follow(ctx context.Context, source db.Source) error {
	return s.Step(ctx, fmt.Sprintf("follow %s", source.Node), func() error {
		r, err := replicationStatus(ctx, s.Link)
		if err != nil {
			return err
		}
		if len(r.Others) > 0 {
			return wire.Refusal("it replicates from others too, which Baton leaves alone: " + strings.Join(r.Others, ", "))
		}
		if _, err := s.allApplied(ctx, "CHANGE MASTER"); err != nil {
			return err
		}
		if err := s.Exec(ctx, "STOP SLAVE"); err != nil {
			return err
		}
		if err := s.bringUpPosition(ctx); err != nil {
			return err
		}
		return s.Exec(ctx,
			fmt.Sprintf("SET GLOBAL slave_net_timeout = %d", wire.Silence(source)),
			"SET GLOBAL rpl_semi_sync_slave_kill_conn_timeout = 1",
			fmt.Sprintf("SET GLOBAL rpl_semi_sync_slave_enabled = %t", source.SemiSync),
			changeMaster(source),
			"START SLAVE")
	})
}

// bringUpPosition sets gtid_slave_pos to the newest transaction of each domain
// that the server has, whoever wrote it.
func (s *session) bringUpPosition(ctx context.Context) error {
	got, err := s.Link.Query(ctx, "SELECT @@global.gtid_slave_pos AS pos, @@global.gtid_binlog_pos AS logged")
	if err != nil {
		return err
	}
	is, want := newest(got[0]["pos"]), newest(got[0]["pos"], got[0]["logged"])
	if write(is) == write(want) {
		return nil
	}
	return s.Exec(ctx, "SET GLOBAL gtid_slave_pos = "+wire.Quote(write(want)))
}

func changeMaster(source db.Source) string {
	options := []string{
		"MASTER_HOST = " + wire.Quote(source.Host),
		fmt.Sprintf("MASTER_PORT = %d", source.Port),
		"MASTER_USER = " + wire.Quote(source.Account.User),
		"MASTER_PASSWORD = " + wire.Quote(source.Account.Password),
		"MASTER_USE_GTID = slave_pos",
		fmt.Sprintf("MASTER_HEARTBEAT_PERIOD = %.3f", wire.Heartbeat(source)),
		"MASTER_CONNECT_RETRY = 1",
		fmt.Sprintf("MASTER_SSL = %d", wire.Bit(source.TLS)),
		"MASTER_SSL_CA = " + wire.Quote(source.CA),
		fmt.Sprintf("MASTER_SSL_VERIFY_SERVER_CERT = %d", wire.Bit(source.TLS && source.CA != "")),
	}
	return "CHANGE MASTER TO " + strings.Join(options, ", ")
}
