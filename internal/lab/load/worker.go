package load

import (
	"context"
	"database/sql/driver"
	"errors"
	"time"
)

// insert stores the server that takes the write, which comes back in the one
// packet that says that it is committed.
const insert = "INSERT INTO writes (run, id, worker, server) VALUES (?, ?, ?, LAST_INSERT_ID(@@server_id))"

// A worker writes again and again over one connection, and after any failure
// over a new one.
type worker struct {
	client *Client
	number int
	peer   peer
	conn   *conn
}

func (w *worker) run(ctx context.Context) {
	pace := time.NewTicker(w.client.opts.Pace)
	defer pace.Stop()
	defer w.hangUp()
	for {
		if w.conn != nil {
			w.write(ctx)
		} else {
			w.conn, _ = w.client.connect(ctx, w.peer, w.client.opts.Connect, w.client.opts.Answer)
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return
		}
	}
}

func (w *worker) hangUp() {
	if w.conn != nil {
		w.conn.Close() //nolint:errcheck // whatever it says, it is not used again
		w.conn = nil
	}
}

func (w *worker) write(ctx context.Context) {
	rec := w.client.rec
	ack := Ack{ID: w.client.nextID.Add(1), Worker: w.number, Sent: rec.now()}
	// Not ctx: a write that has begun is seen to its end, within its time limit.
	server, err := writeOnce(context.WithoutCancel(ctx), w.conn, rec.journal.Run, ack)
	ack.Acked = rec.now()
	if err != nil {
		rec.failure(Failure{At: ack.Acked, Class: w.conn.class(err)})
		w.hangUp()
		return
	}
	ack.Server = server
	rec.ack(ack)
}

// writeOnce returns who acknowledged the write.
func writeOnce(ctx context.Context, c *conn, run uint64, a Ack) (uint32, error) {
	result, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, insert, []driver.NamedValue{
		{Ordinal: 1, Value: int64(run)}, {Ordinal: 2, Value: int64(a.ID)}, {Ordinal: 3, Value: int64(a.Worker)},
	})
	if err != nil {
		return 0, err
	}
	server, err := result.LastInsertId()
	if err != nil {
		return 0, err
	}
	if server == 0 {
		return 0, errors.New("no server_id came back")
	}
	return uint32(server), nil
}

// connectAgainAndAgain is a client that sets no time limits, as most do not:
// what a lost SYN costs it, it pays in full.
func (c *Client) connectAgainAndAgain(ctx context.Context, p peer) {
	pace := time.NewTicker(4 * c.opts.Pace)
	defer pace.Stop()
	for {
		if conn, class := c.connect(ctx, p, PlainLimit, PlainLimit); class == OK {
			conn.Close() //nolint:errcheck // whatever it says, it is not used again
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return
		}
	}
}

// watchIdle opens one connection, never uses it, and notes when the client's
// kernel learns that it has ended.
func (c *Client) watchIdle(ctx context.Context, p peer) {
	var conn *conn
	for conn == nil {
		if ctx.Err() != nil {
			return
		}
		conn, _ = c.connect(ctx, p, c.opts.Connect, PlainLimit)
	}
	idle := Idle{Opened: c.rec.now()}
	// The driver reads only when it is used, so the wire is ours to listen on.
	conn.wire.SetReadDeadline(time.Time{}) //nolint:errcheck // then the read fails at once
	hangUp := context.AfterFunc(ctx, func() { conn.wire.Conn.Close() })
	_, err := conn.wire.Conn.Read(make([]byte, 1))
	if hangUp() && err != nil {
		idle.Ended = c.rec.now()
	}
	c.rec.idle(idle)
	conn.Close() //nolint:errcheck // whatever it says, it is not used again
}
