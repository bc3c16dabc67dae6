package lab

import (
	"context"
	"fmt"
	"math"
	"net"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/lab/load"
)

// StartLoad starts clients that write over the virtual addresses, unless o names
// others. Zero values of what o says about how many and how often mean the defaults.
func (l *Lab) StartLoad(ctx context.Context, o load.Options) (*load.Client, error) {
	o.Hosts = l.Clients()
	if len(o.Addresses) == 0 {
		o.Addresses = l.clientAddresses()
	}
	o.User, o.Password = appUser, l.Secrets.App
	o.Dial = func(ctx context.Context, host, network, address string) (net.Conn, error) {
		return l.net.DialContext(ctx, host, network, address)
	}
	return load.Start(ctx, o)
}

// A Verdict is what clients lived through, judged against what the primary
// holds in the end. Durations are in milliseconds.
type Verdict struct {
	Acknowledged  int                `json:"acknowledged"`
	OutageMS      float64            `json:"outage_ms"`
	OutageOpen    bool               `json:"outage_open,omitempty"` // nothing was acknowledged any more
	AfterHealMS   float64            `json:"after_heal_ms"`         // the longest outage that began after the heal
	Lost          int                `json:"lost"`
	LostSample    []load.Ack         `json:"lost_sample,omitempty"`
	DoubleWriters int                `json:"double_writers"`
	DoubleSample  []load.Ack         `json:"double_sample,omitempty"`
	Connects      load.Connects      `json:"connects"`   // of clients without a time limit of their own
	Reconnects    load.Connects      `json:"reconnects"` // of the writers, who have one
	Failures      map[load.Class]int `json:"failures"`   // statements without an acknowledgement
	Idle          load.IdleEnds      `json:"idle"`       // connections that were left alone
	Servers       map[string]int     `json:"servers"`    // acknowledgements by node
	Hosts         map[string]Outage  `json:"hosts"`      // what each client host lived through
	Primary       string             `json:"primary"`    // whom the rows were compared with
}

// An Outage is the longest time in which the clients of one host had nothing
// acknowledged.
type Outage struct {
	MS   float64 `json:"ms"`
	Open bool    `json:"open,omitempty"` // nothing was acknowledged any more
}

// outages are those of the client hosts.
func (l *Lab) outages(j load.Journal, s Span) map[string]Outage {
	all := map[string]Outage{}
	clients := l.Clients()
	for i, host := range clients {
		own := j
		own.Acks = slices.DeleteFunc(slices.Clone(j.Acks), func(a load.Ack) bool { return load.HostOf(a.Worker, len(clients)) != i })
		gap := load.LongestGap(own, s.Broken, s.Healed)
		all[host] = Outage{MS: milliseconds(gap.Length()), Open: gap.Open}
	}
	return all
}

// Span says when, on the load's clock, something was broken and healed.
type Span struct{ Broken, Healed time.Duration }

// WholeRun counts everything.
func WholeRun() Span { return Span{Healed: math.MaxInt64} }

// sampleSize is how many of the writes that went wrong are listed.
const sampleSize = 10

// Judge compares what clients saw with what the primary holds now. No server
// can legitimately have had the role for less than reign.
func (l *Lab) Judge(ctx context.Context, j load.Journal, s Span, reign time.Duration) (Verdict, error) {
	primary, err := l.Primary(ctx)
	if err != nil {
		return Verdict{}, fmt.Errorf("judge: %w", err)
	}
	have, err := l.rows(ctx, primary, j.Run)
	if err != nil {
		return Verdict{}, fmt.Errorf("judge: %w", err)
	}
	gap := load.LongestGap(j, s.Broken, s.Healed)
	lost, double := load.Missing(j.Acks, have), load.Overlaps(j.Acks, reign)
	v := Verdict{
		Acknowledged: len(j.Acks), OutageMS: milliseconds(gap.Length()), OutageOpen: gap.Open,
		Lost: len(lost), LostSample: lost[:min(len(lost), sampleSize)],
		DoubleWriters: len(double), DoubleSample: double[:min(len(double), sampleSize)],
		Connects: load.CountConnects(j, s.Broken, true), Reconnects: load.CountConnects(j, s.Broken, false),
		Failures: load.CountFailures(j, s.Broken), Idle: load.CountIdle(j, s.Broken),
		Servers: map[string]int{}, Hosts: l.outages(j, s), Primary: primary,
	}
	if s.Healed < j.Length {
		v.AfterHealMS = milliseconds(load.LongestGap(j, s.Healed, math.MaxInt64).Length())
	}
	for _, a := range j.Acks {
		v.Servers[l.nodeOf(a.Server)]++
	}
	return v, nil
}

func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Millisecond)*10) / 10
}

// lastWrite is how long clients may take to write once more at the end.
const lastWrite = 10 * time.Second

// Watch runs clients for a time, or until ctx ends, and judges what they saw. At
// the end each of them has to write once more: the time since the last write is
// an outage only if there is no other.
func (l *Lab) Watch(ctx context.Context, o load.Options, length, reign time.Duration) (Verdict, error) {
	after := context.WithoutCancel(ctx)
	c, err := l.StartLoad(after, o)
	if err != nil {
		return Verdict{}, err
	}
	defer c.Stop()
	over := time.NewTimer(length)
	defer over.Stop()
	select {
	case <-ctx.Done():
	case <-over.C:
	}
	end := c.Now()
	last, cancel := context.WithTimeout(after, lastWrite)
	defer cancel()
	if err := c.UntilEach(last, end); err != nil && last.Err() == nil {
		return Verdict{}, err
	}
	v, err := l.Judge(after, c.Stop(), Span{Healed: end}, reign)
	v.AfterHealMS = 0 // nothing was broken, nothing healed
	return v, err
}
