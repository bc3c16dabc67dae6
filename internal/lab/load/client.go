// Package load answers what a cluster's clients live through: it writes from
// several client hosts, notes every acknowledgement with its times, and judges
// afterwards how long nothing was acknowledged, what was lost, and whether two
// servers acknowledged at the same time.
//
// It knows nothing of Baton: it would judge any way of moving a database. The
// one rule: a write counts as acknowledged only once its answer has been read
// to the end, and from then on it must never be missing.
package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Schema returns the statements that create the table that is written to.
func Schema() []string {
	return []string{
		"CREATE DATABASE IF NOT EXISTS app",
		"CREATE TABLE IF NOT EXISTS app.writes (run BIGINT NOT NULL, id BIGINT NOT NULL, worker INT NOT NULL, " +
			"server BIGINT NOT NULL, PRIMARY KEY (run, id)) ENGINE=InnoDB",
	}
}

// Options say who writes where. Zero values mean the defaults given.
type Options struct {
	Hosts     []string // client hosts, taken in turn
	Addresses []string // host:port that clients connect to, taken in turn
	User      string
	Password  string

	// Dial connects from a client host.
	Dial func(ctx context.Context, host, network, address string) (net.Conn, error)

	Run     uint64        // number of the run; 0: from the wall clock
	Workers int           // clients that write all the time; 0: 8
	Pace    time.Duration // a worker begins a write at most this often; 0: 10 ms
	Connect time.Duration // time limit of a worker's connect; 0: 250 ms
	Answer  time.Duration // time limit of each answer; 0: 500 ms
	Plain   int           // clients that connect, say hello and leave, without a time limit worth the name; 0: 2, -1: none
	Idle    int           // connections that are opened and left alone; 0: 4, -1: none
}

// PlainLimit is when a plain client gives a connect up: late enough for three
// retransmissions of its SYN.
const PlainLimit = 10 * time.Second

func (o Options) withDefaults() Options {
	or := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
		*v = max(*v, 0)
	}
	span := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	or(&o.Workers, 8)
	or(&o.Plain, 2)
	or(&o.Idle, 4)
	span(&o.Pace, 10*time.Millisecond)
	span(&o.Connect, 250*time.Millisecond)
	span(&o.Answer, 500*time.Millisecond)
	if o.Run == 0 {
		o.Run = uint64(time.Now().UnixNano())
	}
	return o
}

// Validate names what is missing.
func (o Options) Validate() error {
	switch {
	case len(o.Hosts) == 0:
		return errors.New("load: no client hosts")
	case len(o.Addresses) == 0:
		return errors.New("load: no addresses to connect to")
	case o.Dial == nil:
		return errors.New("load: no way to dial")
	}
	return nil
}

// A Client is a running load.
type Client struct {
	opts   Options
	rec    *recorder
	nextID atomic.Uint64
	stop   context.CancelFunc
	group  *errgroup.Group
}

// Start starts the load. It runs until Stop, or the end of ctx.
func Start(ctx context.Context, opts Options) (*Client, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	ctx, stop := context.WithCancel(ctx)
	c := &Client{opts: opts, rec: newRecorder(opts.Run), stop: stop, group: new(errgroup.Group)}
	for i := range opts.Workers {
		w := &worker{client: c, number: i, peer: c.peer(i)}
		c.group.Go(func() error { w.run(ctx); return nil })
	}
	for i := range opts.Plain {
		p := c.peer(i)
		c.group.Go(func() error { c.connectAgainAndAgain(ctx, p); return nil })
	}
	for i := range opts.Idle {
		p := c.peer(i)
		c.group.Go(func() error { c.watchIdle(ctx, p); return nil })
	}
	return c, nil
}

// peer spreads clients over hosts first and addresses second, so that every
// pair of the two is used.
func (c *Client) peer(i int) peer {
	hosts := len(c.opts.Hosts)
	return peer{
		host:    c.opts.Hosts[HostOf(i, hosts)],
		address: c.opts.Addresses[(i/hosts)%len(c.opts.Addresses)],
	}
}

// HostOf says which of so many client hosts a worker is on.
func HostOf(worker, hosts int) int { return worker % hosts }

// Now is the time since the load started, as in the journal.
func (c *Client) Now() time.Duration { return c.rec.now() }

// Journal returns what the clients have seen so far.
func (c *Client) Journal() Journal {
	j, _ := c.rec.snapshot()
	return j
}

// Stop ends the load and returns what the clients saw.
func (c *Client) Stop() Journal {
	c.stop()
	c.group.Wait() //nolint:errcheck // the clients return no error
	return c.Journal()
}

// Until waits for an acknowledgement that was sent for after a time and that
// satisfies want.
func (c *Client) Until(ctx context.Context, after time.Duration, want func(Ack) bool) (Ack, error) {
	for seen := 0; ; {
		acks, more := c.rec.tail(seen)
		seen += len(acks)
		for _, a := range acks {
			if a.Sent >= after && want(a) {
				return a, nil
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
			return Ack{}, fmt.Errorf("wait for an acknowledged write: %w", context.Cause(ctx))
		}
	}
}

// UntilEach waits until, on every client host, a write was acknowledged that was
// sent after a time.
func (c *Client) UntilEach(ctx context.Context, after time.Duration) error {
	hosts := len(c.opts.Hosts)
	for i := range min(hosts, c.opts.Workers) {
		if _, err := c.Until(ctx, after, func(a Ack) bool { return HostOf(a.Worker, hosts) == i }); err != nil {
			return fmt.Errorf("from %s: %w", c.opts.Hosts[i], err)
		}
	}
	return nil
}
