package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
	"github.com/baton-db/baton/internal/core/readers"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/endpoint/vip"
)

// readersPath is where the primary's agent is asked for addresses for readers.
const readersPath = "readers"

// readerSet is what is done with the addresses on this host.
type readerSet interface {
	Bind(context.Context, vip.Claim) (vip.BindReport, error)
	DropSome(context.Context, ...netip.Addr) error
	Observe(context.Context) (vip.Observation, error)
	Reannounce() error
}

// readerAddresses has on this host the addresses for readers that the primary's agent
// gives it. It asks for them again and again; each answer counts for a while from before the question,
// and the kernel ends what is not given again. On the primary it gives them, by a book
// that it fills from those questions (package core/readers), to the replicas that the loop
// finds to be well. Neither the store nor any decision knows of it, and nothing waits for it.
type readerAddresses struct {
	self      cluster.NodeName
	agent     string
	addresses []netip.Addr
	ports     []uint16 // of the database, whose connections are reset when an address goes
	maxLag    time.Duration
	orPrimary bool
	hold      time.Duration // for how long an answer counts
	every     time.Duration

	set     readerSet
	reset   func(context.Context, []netip.AddrPort) (int, error)
	ask     func(context.Context, cluster.NodeName, readers.Question) (readers.Answer, error)
	held    func() lease.Held
	members func() vip.Members
	say     func(readersSaid)
	now     func() cluster.Instant
	log     *slog.Logger

	kick chan struct{} // this node must give up what it has, or has to say so

	mu      sync.Mutex
	look    readersLook
	book    readers.Book
	want    map[netip.Addr]cluster.NodeName
	without map[netip.Addr]cluster.Instant // since when an address is on no host
	claimed map[string]cluster.Instant     // by strangers, and when that was heard last
	// until is the end of what was given to this node, as long as no primary was told that
	// it does not have it.
	until map[netip.Addr]cluster.Instant
	// hangUp ends the question that is under way; nil: none is.
	hangUp context.CancelFunc

	// Of the one goroutine that turns.
	seq    uint64
	failed []netip.Addr
	said   readersSaid
}

// readersSaid is what people are told: what this host has, which stranger uses an address,
// and, on the primary, which address is on no host.
type readersSaid struct {
	have             []string
	foreign, nowhere string
}

// readersLook is what one look of the loop came to.
type readersLook struct {
	at      cluster.Instant
	epoch   cluster.Epoch
	primary cluster.NodeName
	// gives says that this node is the primary, serves, and so gives the addresses.
	gives bool
	// able says that readers may be led here.
	able bool
	well []readers.Node
}

// asksOtherwise reports whether what was asked at a look before is of no use any more.
func (k readersLook) asksOtherwise(before readersLook) bool {
	return k.epoch != before.epoch || k.primary != before.primary || k.able != before.able
}

// tendReaders tells what this look came to.
func (l *loop) tendReaders(in reconcile.Input) {
	r := l.readers
	if r == nil {
		return
	}
	look := readersLook{at: in.Now, epoch: in.Record.Epoch, primary: in.Record.Primary, gives: notPrimary(in) == ""}
	for _, n := range in.Settings.DataNodes() {
		if behind, ok := l.readable(n, in, r.maxLag); ok && n != look.primary {
			look.well = append(look.well, readers.Node{Name: n, Behind: behind, Settled: behind <= r.maxLag/2})
			look.able = look.able || n == in.Self
		}
	}
	look.able = look.able || look.gives && r.orPrimary
	r.tend(look)
}

func (r *readerAddresses) tend(look readersLook) {
	r.mu.Lock()
	before := r.look
	r.look = look
	if look.gives && (!before.gives || before.epoch != look.epoch) {
		var own []netip.Addr
		for ip, until := range r.until {
			if until > look.at {
				own = append(own, ip)
			}
		}
		r.book.Begin(look.at, own...)
		r.want, r.without = nil, map[netip.Addr]cluster.Instant{}
	}
	hangUp := r.hangUp
	r.mu.Unlock()
	if hangUp != nil && look.asksOtherwise(before) {
		hangUp() // it may be a dead host that was asked, and what is here has to be given up now
	}
	if before.able && !look.able || before.gives != look.gives {
		select {
		case r.kick <- struct{}{}:
		default:
		}
	}
}

// run asks, and does what the answers say, until ctx ends.
func (r *readerAddresses) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.kick:
		case <-timer.C:
		}
		// What it has given up, another one can have once that is said.
		for gaveUp := r.turn(ctx); gaveUp && ctx.Err() == nil; {
			gaveUp = r.turn(ctx)
		}
		timer.Reset(r.every)
	}
}

// turn asks once, and reports whether an address was given up then.
func (r *readerAddresses) turn(ctx context.Context) (gaveUp bool) {
	r.mu.Lock()
	look := r.look
	r.mu.Unlock()
	if look.at == 0 {
		return false // the loop has not looked yet, and an agent before this one may have had some
	}
	has, err := r.here(ctx)
	if err != nil {
		// Who does not ask is given nothing, and what it has ends.
		r.log.WarnContext(ctx, "look at the addresses for readers", "err", err)
		return false
	}
	if !look.able && len(has) > 0 {
		r.log.InfoContext(ctx, "readers are not led here any more", "addresses", has)
		has = r.giveUp(ctx, has)
	}
	r.seq++
	asked := r.now()
	answer, err := r.petition(ctx, look, readers.Question{Epoch: look.epoch, Agent: r.agent, Seq: r.seq, Has: has, Failed: r.failed, Unable: !look.able})
	foreign := ""
	switch {
	case err != nil:
		r.log.DebugContext(ctx, "ask for addresses for readers", "of", look.primary, "err", err)
	default:
		r.failed = nil
		if !look.able {
			break
		}
		surplus := slices.DeleteFunc(slices.Clone(has), func(ip netip.Addr) bool { return slices.Contains(answer.Addresses, ip) })
		gaveUp = len(surplus) > len(r.giveUp(ctx, surplus))
		foreign = r.take(ctx, answer.Addresses, asked.Add(r.hold))
	}
	r.tell(ctx, look, foreign)
	return gaveUp
}

// petition asks the primary, which may be this node.
func (r *readerAddresses) petition(ctx context.Context, look readersLook, q readers.Question) (readers.Answer, error) {
	if look.primary == r.self {
		return r.answer(r.self, q)
	}
	r.mu.Lock()
	maps.DeleteFunc(r.until, func(ip netip.Addr, _ cluster.Instant) bool { return !slices.Contains(q.Has, ip) })
	r.mu.Unlock()
	if look.primary == "" {
		return readers.Answer{}, errors.New("there is no primary")
	}
	ctx, cancel := context.WithTimeout(ctx, r.hold/2)
	defer cancel()
	r.mu.Lock()
	if r.look.asksOtherwise(look) {
		r.mu.Unlock()
		return readers.Answer{}, errors.New("it is not to be asked any more")
	}
	r.hangUp = cancel
	r.mu.Unlock()
	answer, err := r.ask(ctx, look.primary, q)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hangUp = nil
	return answer, err
}

// answer is what the primary says to a node that asks, itself included.
func (r *readerAddresses) answer(from cluster.NodeName, q readers.Question) (readers.Answer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if !r.look.gives || q.Epoch != r.look.epoch || now.Sub(r.look.at) > r.hold || !r.held().Valid(r.look.epoch, now) {
		return readers.Answer{}, fmt.Errorf("%s does not serve as primary of epoch %d", r.self, q.Epoch)
	}
	if !r.book.Hear(from, q, now) {
		return readers.Answer{}, fmt.Errorf("a newer question of %s was answered already", from)
	}
	if from == r.self {
		// From now on others may be given what this node says it does not have: should
		// it begin anew soon, it must not take that for its own.
		maps.DeleteFunc(r.until, func(ip netip.Addr, _ cluster.Instant) bool { return !slices.Contains(q.Has, ip) })
	}
	well := slices.DeleteFunc(slices.Clone(r.look.well), func(n readers.Node) bool { return !r.book.Asks(n.Name, now) })
	var otherwise cluster.NodeName
	if r.orPrimary {
		otherwise = r.self
	}
	r.want = readers.Assign(r.addresses, well, otherwise, r.book.Holders(now), func(n cluster.NodeName, ip netip.Addr) bool { return r.book.Barred(n, ip, now) })
	return r.book.Give(from, r.want, now), nil
}

// here are the addresses that this host has, by what its kernel says.
func (r *readerAddresses) here(ctx context.Context) (ips []netip.Addr, err error) {
	o, err := r.set.Observe(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range o.Addresses {
		if a.Present {
			ips = append(ips, a.IP)
		}
	}
	return ips, nil
}

// giveUp resets the clients of addresses and drops those. It returns what it could not drop.
func (r *readerAddresses) giveUp(ctx context.Context, ips []netip.Addr) (left []netip.Addr) {
	if len(ips) == 0 {
		return nil
	}
	var at []netip.AddrPort
	for _, ip := range ips {
		for _, port := range r.ports {
			at = append(at, netip.AddrPortFrom(ip, port))
		}
	}
	// The resets must leave before the address goes.
	if n, err := r.reset(ctx, at); err != nil {
		r.log.WarnContext(ctx, "reset readers before their address goes", "err", err)
	} else if n > 0 {
		r.log.InfoContext(ctx, "readers reset before their address goes", "count", n)
	}
	if err := r.set.DropSome(context.WithoutCancel(ctx), ips...); err != nil {
		r.log.WarnContext(ctx, "give up addresses for readers", "err", err)
		return ips
	}
	return nil
}

// take binds what was given, and says which stranger has one of them.
func (r *readerAddresses) take(ctx context.Context, ips []netip.Addr, until cluster.Instant) (foreign string) {
	if len(ips) == 0 {
		return ""
	}
	r.mu.Lock()
	for _, ip := range ips {
		r.until[ip] = until
	}
	r.mu.Unlock()
	report, err := r.set.Bind(ctx, vip.Claim{Until: until, Of: ips, Members: r.members()})
	if err != nil && ctx.Err() == nil {
		r.log.WarnContext(ctx, "take addresses for readers", "err", err)
	}
	for _, a := range report {
		switch a.Outcome {
		case vip.Bound:
			r.log.InfoContext(ctx, "readers are led here", "address", a.IP, "interface", a.Interface)
		case vip.Foreign:
			foreign = a.Address.String() + " is used by " + a.Owner.String() + ", which is no node of this cluster"
			r.failed = append(r.failed, a.IP)
		case vip.Failed:
			r.failed = append(r.failed, a.IP)
		}
	}
	return foreign
}

// tell says what this host has, which stranger uses an address, and, on the primary,
// which is nowhere.
func (r *readerAddresses) tell(ctx context.Context, look readersLook, foreign string) {
	o, err := r.set.Observe(ctx)
	if err != nil {
		return // said already
	}
	now := r.now()
	said := readersSaid{o.Bound(), cmp.Or(foreign, r.claim(now)), r.nowhere(look, now)}
	if !reflect.DeepEqual(said, r.said) {
		r.said = said
		r.say(said)
	}
}

// claim is what a stranger was heard to claim not long ago.
func (r *readerAddresses) claim(now cluster.Instant) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.claimed, func(_ string, at cluster.Instant) bool { return now.Sub(at) >= claimLasts })
	return strings.Join(slices.Sorted(maps.Keys(r.claimed)), "; ")
}

// nowhere says which addresses have been on no host for longer than it takes to move one.
func (r *readerAddresses) nowhere(look readersLook, now cluster.Instant) string {
	if !look.gives {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	holders := r.book.Holders(now)
	var all []string
	for _, ip := range r.addresses {
		if holders[ip] != "" {
			delete(r.without, ip)
			continue
		}
		since, is := r.without[ip]
		if !is {
			r.without[ip] = now
		}
		switch to := r.want[ip]; {
		case !is || now.Sub(since) <= r.book.Lasts:
		case to == "":
			all = append(all, fmt.Sprintf("%s is on no host: no replica is well and at most %s behind", ip, r.maxLag))
		default:
			all = append(all, fmt.Sprintf("%s is on no host: %s is to have it, and does not take it", ip, to))
		}
	}
	return strings.Join(all, "; ")
}

// watch answers other hosts that claim the addresses.
func (r *readerAddresses) watch(ctx context.Context, events <-chan vip.Event) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if e.Kind != vip.DuplicateSeen {
				r.log.WarnContext(ctx, "address for readers", "event", e.Kind, "address", e.Address.String())
				continue
			}
			node := r.members()[e.MAC.String()]
			r.log.WarnContext(ctx, "another host claims an address for readers", "address", e.Address.String(), "mac", e.MAC.String(), "node", node)
			if err := r.set.Reannounce(); err != nil {
				r.log.WarnContext(ctx, "announce the addresses for readers again", "err", err)
			}
			if node == "" && e.MAC.String() != e.Address.MAC.String() {
				r.mu.Lock()
				r.claimed[e.Address.String()+" is claimed by "+e.MAC.String()+" too, which is no node of this cluster"] = r.now()
				r.mu.Unlock()
			}
		}
	}
}
