package bgp

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// words are what was last said of why there is no session with a neighbour.
type words struct {
	at netip.Addr

	mu      sync.Mutex
	text    string
	stopgap bool // text is of a connection that has only begun
	final   bool // text stays, whatever else is heard, for the session is given up
	// unsaid is told each time that the router has ended a session that was just
	// beginning, and GoBGP has not kept what it said.
	unsaid chan struct{}
}

func (w *words) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text
}

func (w *words) set(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.final {
		w.text, w.stopgap = text, false
	}
}

// giveUp is set, and nothing counts any more until there is another session. It reports
// whether that is news.
func (w *words) giveUp(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	news := !w.final
	w.text, w.stopgap, w.final = text, false, true
	return news
}

// listen has what is heard count again.
func (w *words) listen() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.final = false
}

func (w *words) gaveUp() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.final
}

// overheard is the log of GoBGP, which is where it says why there is no session. What it
// warns of goes into the agent's log.
type overheard struct {
	log *slog.Logger
	at  string // the neighbour that the records are about

	all     *allWords
	flooded chan netip.Addr // neighbours that have sent too many routes, once for each session
}

type allWords struct {
	mu sync.Mutex
	of map[string]*words
}

// newOverheard hears of as many neighbours.
func newOverheard(log *slog.Logger, neighbours int) overheard {
	return overheard{log: log, all: &allWords{of: map[string]*words{}}, flooded: make(chan netip.Addr, neighbours)}
}

// of returns what is overheard of a neighbour from now on.
func (o overheard) of(at netip.Addr) *words {
	o.all.mu.Lock()
	defer o.all.mu.Unlock()
	w := &words{at: at, unsaid: make(chan struct{}, 1)}
	o.all.of[at.String()] = w
	return w
}

// Enabled implements slog.Handler.
func (o overheard) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements slog.Handler.
func (o overheard) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if a.Key == "Key" {
			o.at = a.Value.String()
		}
	}
	return o
}

// WithGroup implements slog.Handler.
func (o overheard) WithGroup(string) slog.Handler { return o }

// Handle implements slog.Handler.
func (o overheard) Handle(ctx context.Context, r slog.Record) error {
	said := map[string]slog.Value{}
	r.Attrs(func(a slog.Attr) bool { said[a.Key] = a.Value; return true })
	at := o.at
	if key, ok := said["Key"]; ok {
		at = key.String()
	}
	o.all.mu.Lock()
	w := o.all.of[at]
	o.all.mu.Unlock()
	switch {
	case w == nil:
	case w.gaveUp():
		return nil // said for every message of the router's until it is gone
	case r.Message == "prefix limit reached":
		if w.giveUp(fmt.Sprintf("it was given up because the router has sent more than %d routes, which this host would have to keep in memory and has no use for: have it send none", most)) {
			o.flooded <- w.at // there is room for each neighbour's
		}
	default:
		w.hear(r.Message, said)
	}
	if r.Level >= slog.LevelWarn {
		var err any = r.Message
		if e, ok := said["Error"]; ok {
			err = e.String()
		}
		o.log.WarnContext(ctx, "the BGP speaker warns", "neighbour", at, "what", r.Message, "err", err)
	}
	return nil
}

// hear takes in one record of GoBGP's, by its words, which the tests of bad sessions hold
// against the version that is built in.
func (w *words) hear(message string, said map[string]slog.Value) {
	switch message {
	case "try to connect": // and two seconds may go by until it is known that there is no answer
		w.setFirst("it does not answer yet: " + unanswered)
	case "failed to connect":
		w.set(connecting(said["Error"].String()))
	case "received notification":
		w.set("the router says: " + notification(said))
	case "sent notification":
		if code, _ := said["Code"].Any().(int64); code == gobgp.BGP_ERROR_FSM_ERROR {
			w.ask() // in place of the answer that was awaited
			return
		}
		w.set("we have ended it: " + notification(said))
	case "state changed":
		if said["reason"].String() == "invalid-msg" {
			w.ask()
		}
	case "outgoing connection IO error":
		w.set("the router has ended the connection without a word: does it expect this host?")
	case "Peer Down":
		switch reason := said["Reason"].String(); {
		case strings.HasPrefix(reason, "notification"): // which was heard
		case reason == "unknown": // it was given up here
		default:
			w.set("it was lost: " + reason)
		}
	}
}

// setFirst says something where nothing has been said yet.
func (w *words) setFirst(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.text == "" {
		w.text, w.stopgap = text, true
	}
}

// ask notes that the router has said something that is not known.
func (w *words) ask() {
	w.mu.Lock()
	if w.text == "" || w.stopgap {
		w.text, w.stopgap = "the router has ended the session before it began, and has not said why yet", false
	}
	w.mu.Unlock()
	select {
	case w.unsaid <- struct{}{}:
	default:
	}
}

// unanswered is what to look at where a router says nothing at all.
const unanswered = "is its address right, does it expect this host, and with the same password, TTL security and number of hops?"

// connecting is why no connection was made, as an operator would look at it.
func connecting(err string) string {
	switch {
	case strings.Contains(err, "connection refused"):
		return "it refuses connections: does BGP run there, and does it expect this host?"
	case strings.Contains(err, "i/o timeout"):
		return "it does not answer: " + unanswered
	}
	if i := strings.LastIndex(err, ": "); i >= 0 {
		err = err[i+2:]
	}
	return "it cannot be reached: " + err
}

func notification(said map[string]slog.Value) string {
	code, _ := said["Code"].Any().(int64)
	subcode, _ := said["Subcode"].Any().(int64)
	text := named(uint8(code), uint8(subcode))
	if more := said["Communicated-Reason"].String(); more != "" && more != "<nil>" {
		text += fmt.Sprintf(" (%q)", more)
	}
	return text
}

// named is a notification in words (RFC 4271, section 6; RFC 4486; RFC 9384).
func named(code, subcode uint8) string {
	switch {
	case code == gobgp.BGP_ERROR_OPEN_MESSAGE_ERROR && subcode == gobgp.BGP_ERROR_SUB_BAD_PEER_AS:
		return "bad peer AS: the AS numbers of the two ends do not fit"
	case code == gobgp.BGP_ERROR_OPEN_MESSAGE_ERROR && subcode == gobgp.BGP_ERROR_SUB_BAD_BGP_IDENTIFIER:
		return "bad BGP identifier: does another speaker have this router ID?"
	case code == gobgp.BGP_ERROR_OPEN_MESSAGE_ERROR && subcode == gobgp.BGP_ERROR_SUB_UNACCEPTABLE_HOLD_TIME:
		return "the hold time is not acceptable"
	case code == gobgp.BGP_ERROR_HOLD_TIMER_EXPIRED:
		return "the hold timer expired"
	case code == gobgp.BGP_ERROR_CEASE && subcode == 10:
		return "BFD is down"
	}
	return gobgp.NewNotificationErrorCode(code, subcode).String()
}
