// Package probe answers one question about one server or the path to it: did it
// answer, how fast, and if not, what was in the way.
//
// It never judges a series of answers (package detect does) and has no schedule
// of its own: its caller says when. The one rule: a connection that the kernel
// of the other host accepts proves nothing of the server behind it. Only an
// answer of the server itself, within the deadline, does.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/detect"
)

// Class says what came of a question.
type Class string

// The classes.
const (
	Answered           Class = "answered"
	NoAnswer           Class = "no-answer"            // the deadline passed
	Refused            Class = "refused"              // connection refused or reset
	Unreachable        Class = "unreachable"          // a router or the own host says so
	TooManyConnections Class = "too-many-connections" // the server has no slot left
	Denied             Class = "denied"               // the server answers, the account may not
	ServerError        Class = "server-error"         // the server answers with another error
	Unavailable        Class = "unavailable"          // this host cannot ask: no privilege, no socket
)

// Result is what came of one question. It is evidence of nothing if its class
// is Unavailable.
type Result struct {
	Layer   detect.Layer
	Class   Class
	Sent    cluster.Instant // when the question was sent
	Latency time.Duration   // until the answer, or until it was given up
	Detail  string          // what went wrong, the same for the same cause
}

// Alive reports whether the layer itself spoke, whatever it said.
func (r Result) Alive() bool {
	switch r.Class {
	case Answered, Denied, ServerError, TooManyConnections:
		return true
	}
	return false
}

// Evidence puts a result in the words of package detect. ok is false if it is
// no evidence.
func (r Result) Evidence() (e detect.Result, ok bool) {
	e = detect.Result{Sent: r.Sent, Latency: r.Latency, Error: r.Detail}
	switch r.Class {
	case Answered, Denied, ServerError:
		e.Outcome = detect.Answered
	case Refused, Unreachable:
		e.Outcome = detect.Refused
	case NoAnswer, TooManyConnections:
		e.Outcome = detect.NoAnswer
	default:
		return e, false
	}
	return e, true
}

// Target is a server and how to ask it.
type Target struct {
	Node     cluster.NodeName
	Address  netip.Addr // of its host
	Port     uint16
	User     string // may do nothing but log in
	Password string
	// Business is the user's own statement; empty: there is none.
	Business string

	// How long each layer may take; 0 means one second.
	HostTimeout, PortTimeout, ServerTimeout, BusinessTimeout time.Duration
}

// Validate says what is wrong.
func (t Target) Validate() error {
	switch {
	case !t.Address.IsValid():
		return errors.New("no address")
	case t.Port == 0:
		return errors.New("no port")
	case t.User == "":
		return errors.New("no user")
	}
	return nil
}

// Prober asks about one data node. Each layer may be asked at the same time as
// the others, and by one caller at a time.
type Prober struct {
	target   Target
	host     pinger
	server   *asker
	business *asker
}

// New prepares a prober. It opens nothing yet.
func New(t Target) (*Prober, error) {
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("probe %s: %w", t.Node, err)
	}
	for _, d := range []*time.Duration{&t.HostTimeout, &t.PortTimeout, &t.ServerTimeout, &t.BusinessTimeout} {
		if *d <= 0 {
			*d = time.Second
		}
	}
	p := &Prober{target: t, host: pinger{address: t.Address}}
	var errs [2]error
	p.server, errs[0] = newAsker(t, "SELECT 1")
	p.business, errs[1] = newAsker(t, t.Business)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("probe %s: %w", t.Node, err)
	}
	return p, nil
}

// Layers returns the layers that can be asked about this target.
func (p *Prober) Layers() []detect.Layer {
	layers := []detect.Layer{detect.Host, detect.Port, detect.Server}
	if p.target.Business != "" {
		layers = append(layers, detect.Business)
	}
	return layers
}

// Ask asks one layer and returns within its timeout.
func (p *Prober) Ask(ctx context.Context, layer detect.Layer) Result {
	var ask func(context.Context) (Class, string)
	var timeout time.Duration
	switch layer {
	case detect.Host:
		ask, timeout = p.host.ping, p.target.HostTimeout
	case detect.Port:
		ask, timeout = p.connect, p.target.PortTimeout
	case detect.Business:
		ask, timeout = p.business.ask, p.target.BusinessTimeout
	default:
		ask, timeout = p.server.ask, p.target.ServerTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r := Result{Layer: layer, Sent: clock.Now()}
	r.Class, r.Detail = ask(ctx)
	r.Latency = clock.Now().Sub(r.Sent)
	return r
}

// AskAll asks the given layers at the same time, and returns in their order once
// all have ended.
func (p *Prober) AskAll(ctx context.Context, layers ...detect.Layer) []Result {
	results := make([]Result, len(layers))
	var all sync.WaitGroup
	for i, layer := range layers {
		all.Go(func() { results[i] = p.Ask(ctx, layer) })
	}
	all.Wait()
	return results
}

// Close ends all connections. No question may be under way.
func (p *Prober) Close() {
	p.host.close()
	p.server.close()
	p.business.close()
}
