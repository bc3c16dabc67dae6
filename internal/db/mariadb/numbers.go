package mariadb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/db/wire"
)

// numbersSkipped is more than a server can have lost, and small enough for a
// domain's 2^64 numbers to last.
const numbersSkipped = 1_000_000_000

// SkipNumbers implements db.Serving.
//
// A server that was killed and recovers as a replica (init_rpl_role = SLAVE) drops
// what it had not committed for good, although its replicas may have received it,
// and gives the next transaction the first number that it dropped. gtid_seq_no
// gives one transaction another number, and the domain goes on from there (tried on
// 10.11). A replica that has one of the numbers in between is refused by its source
// from then on (error 1236), as gtid_strict_mode wants it.
//
// The transaction is a statement that does nothing that lasts, is logged, and needs
// none but the agent's privileges (BINLOG REPLAY, RELOAD).
func (s *session) SkipNumbers(ctx context.Context) error {
	return s.Step(ctx, "skip sequence numbers", func() error {
		got, err := s.Link.Query(ctx, "SELECT @@global.gtid_domain_id AS domain, @@global.gtid_binlog_state AS state, @@global.gtid_slave_pos AS pos, @@global.rpl_semi_sync_master_enabled AS waits, @@global.read_only AS read_only")
		if err != nil {
			return err
		}
		if !wire.IsOn(got[0]["read_only"]) {
			return wire.Refusal("the server takes writes already: its numbers are given")
		}
		domain := wire.Number(got[0]["domain"])
		next := last{domain, 0, newest(got[0]["state"], got[0]["pos"])[domain].seq + numbersSkipped}
		if wire.IsOn(got[0]["waits"]) {
			return s.skipBeside(ctx, next)
		}
		if err := skipTo(ctx, s.Link, next); err != nil {
			return err
		}
		if reached, err := s.logged(ctx, next); err != nil || reached {
			return err
		}
		return wire.Refusal(fmt.Sprintf("the next number was to be %d, and the binary log is not there", next.seq))
	})
}

// skipTo commits a transaction of that number.
func skipTo(ctx context.Context, l *wire.Link, next last) error {
	if err := l.Exec(ctx, fmt.Sprintf("SET SESSION gtid_domain_id = %d, gtid_seq_no = %d", next.domain, next.seq)); err != nil {
		return err
	}
	return l.Exec(ctx, "FLUSH HOSTS")
}

// logged reports whether the binary log has come to a number.
func (s *session) logged(ctx context.Context, next last) (bool, error) {
	is, err := s.Link.Value(ctx, "SELECT @@global.gtid_binlog_pos")
	return newest(is)[next.domain].seq >= next.seq, err
}

// skipBeside does it where commits wait for an acknowledgement, for which this step
// has no time: the number is given when the transaction is in the binary log. Its
// session goes on waiting in the server, as a client's would.
func (s *session) skipBeside(ctx context.Context, next last) error {
	l, err := s.server.DialAgent(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- skipTo(ctx, l, next) }()
	defer func() {
		cancel()
		<-ended
		l.Close()
	}()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		select {
		case err := <-ended:
			ended <- err
			if err != nil {
				return err
			}
		case <-look.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		reached, err := s.logged(ctx, next)
		if err != nil || reached {
			return err
		}
		if len(ended) > 0 {
			return errors.New("the transaction is committed, and the binary log did not come to its number")
		}
	}
}
