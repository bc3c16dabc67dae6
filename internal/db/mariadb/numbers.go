package mariadb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
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
// The transaction writes the marker of the reign. Were it something else, a primary
// that dies before its marker would come back with data of which nothing shows that
// it is newer than the unacknowledged tail of the primary before: each would have
// what the other lacks, and only a person could decide. Where the server refuses it,
// the transaction is a statement that does nothing that lasts, is logged, and needs
// none but the agent's privileges (BINLOG REPLAY, RELOAD).
func (s *session) SkipNumbers(ctx context.Context, epoch cluster.Epoch, node cluster.NodeName) (unmarked string, err error) {
	err = s.Step(ctx, "skip sequence numbers", func() error {
		got, err := s.Link.Query(ctx, "SELECT @@global.gtid_domain_id AS domain, @@global.gtid_binlog_state AS state, @@global.gtid_slave_pos AS pos, @@global.rpl_semi_sync_master_enabled AS waits, @@global.read_only AS read_only")
		if err != nil {
			return err
		}
		if !wire.IsOn(got[0]["read_only"]) {
			return wire.Refusal("the server takes writes already: its numbers are given")
		}
		domain := wire.Number(got[0]["domain"])
		to := skip{last{domain, 0, newest(got[0]["state"], got[0]["pos"])[domain].seq + numbersSkipped}, epoch, node}
		if wire.IsOn(got[0]["waits"]) {
			unmarked, err = s.skipBeside(ctx, to)
			return err
		}
		if err := to.commit(ctx, s.Link, func(why string) { unmarked = why }); err != nil {
			return err
		}
		if reached, err := s.logged(ctx, to.number); err != nil || reached {
			return err
		}
		return wire.Refusal(fmt.Sprintf("the next number was to be %d, and the binary log is not there", to.number.seq))
	})
	return unmarked, err
}

// skip is a transaction that leaves numbers out.
type skip struct {
	number last
	epoch  cluster.Epoch // whose marker it is
	node   cluster.NodeName
}

// commit commits it. It calls without before it commits one without the marker.
func (to skip) commit(ctx context.Context, l *wire.Link, without func(why string)) error {
	// Nobody is waited for: whoever has locked the row is a marker of this epoch that
	// waits for its acknowledgement.
	marker := fmt.Sprintf("SET STATEMENT gtid_domain_id = %d, gtid_seq_no = %d, innodb_lock_wait_timeout = 0 FOR ", to.number.domain, to.number.seq) + wire.InsertMarker
	err := l.Exec(ctx, marker, uint64(to.epoch), string(to.node))
	if err == nil || !refused(err) {
		return err
	}
	without(err.Error())
	if err := l.Exec(ctx, fmt.Sprintf("SET SESSION gtid_domain_id = %d, gtid_seq_no = %d", to.number.domain, to.number.seq)); err != nil {
		return err
	}
	return l.Exec(ctx, "FLUSH HOSTS")
}

// refused reports that the server is well and does not write the marker.
func refused(err error) bool {
	switch wire.Verdict(err) {
	case db.Denied, db.NoSchema, db.LockWait, db.ReadOnly, db.Failed:
		return true
	}
	return false
}

// logged reports whether the binary log has come to a number.
func (s *session) logged(ctx context.Context, next last) (bool, error) {
	is, err := s.Link.Value(ctx, "SELECT @@global.gtid_binlog_pos")
	return newest(is)[next.domain].seq >= next.seq, err
}

// skipBeside does it where commits wait for an acknowledgement, for which this step
// has no time: the number is given when the transaction is in the binary log. Its
// session goes on waiting in the server, as a client's would.
func (s *session) skipBeside(ctx context.Context, to skip) (unmarked string, err error) {
	l, err := s.server.DialAgent(ctx)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended, without := make(chan error, 1), make(chan string, 1)
	go func() { ended <- to.commit(ctx, l, func(why string) { without <- why }) }()
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
				return "", err
			}
		case <-look.C:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
		reached, err := s.logged(ctx, to.number)
		switch {
		case err != nil:
			return "", err
		case reached:
			select {
			case unmarked = <-without:
			default:
			}
			return unmarked, nil
		case len(ended) > 0:
			return "", errors.New("the transaction is committed, and the binary log did not come to its number")
		}
	}
}
