// Package notify answers who is told that something is out of order or that the
// primary has changed, and tells them: by webhook, in chats, by mail.
//
// It decides nothing about the cluster, and nobody waits for it. The rule: what is
// to be told waits in bounded queues of its own; a receiver that hangs, refuses or
// is gone costs its own messages and nothing else, and no message or error shows a
// secret.
package notify

import (
	"context"
	"fmt"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Kind says what a notice is about.
type Kind string

// The kinds.
const (
	Raised       Kind = "raised"        // something is out of order
	Resolved     Kind = "resolved"      // it is in order again
	SwitchBegun  Kind = "switch-begun"  // the primary is being replaced
	SwitchDone   Kind = "switch-done"   // a new one serves
	SwitchFailed Kind = "switch-failed" // a planned switch went back
	Test         Kind = "test"          // somebody tries whether this arrives
)

// Severity says how soon a person should look.
type Severity string

// The severities, least first.
const (
	Note     Severity = "notice"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// atLeast reports whether s is as grave as least. An empty severity is Note.
func (s Severity) atLeast(least Severity) bool {
	grave := map[Severity]int{Warning: 1, Critical: 2}
	return grave[s] >= grave[least]
}

// Notice is one thing that people are told.
type Notice struct {
	// ID is the same for the same event, whoever tells it.
	ID       string           `json:"id"`
	Kind     Kind             `json:"kind"`
	Severity Severity         `json:"severity"`
	Cluster  string           `json:"cluster"`
	Node     cluster.NodeName `json:"node,omitempty"` // where it is; empty: the whole cluster
	Reason   cluster.Reason   `json:"reason,omitempty"`
	Sign     string           `json:"sign,omitempty"`   // what the reason means
	Detail   string           `json:"detail,omitempty"` // what was seen
	Advice   string           `json:"advice,omitempty"` // what is left to do
	Epoch    cluster.Epoch    `json:"epoch,omitempty"`
	From     cluster.NodeName `json:"from,omitempty"`
	To       cluster.NodeName `json:"to,omitempty"`
	TookMS   int64            `json:"took_ms,omitempty"`
	By       cluster.NodeName `json:"by"` // the node that tells it
	At       string           `json:"at"` // its wall clock, RFC 3339
}

// Title is a notice on one line.
func (n Notice) Title() string {
	place := n.Cluster
	if n.Node != "" {
		place += "/" + string(n.Node)
	}
	switch n.Kind {
	case Raised:
		return fmt.Sprintf("[%s] %s: %s", strings.ToUpper(string(n.Severity)), place, n.Reason)
	case Resolved:
		return fmt.Sprintf("[OK] %s: %s is over", place, n.Reason)
	case SwitchBegun:
		return fmt.Sprintf("[SWITCH] %s: %s is being replaced as primary (epoch %d)", place, orNobody(n.From), n.Epoch)
	case SwitchDone:
		return fmt.Sprintf("[PRIMARY] %s: %s is primary, it was %s (epoch %d, %d ms)", place, n.To, orNobody(n.From), n.Epoch, n.TookMS)
	case SwitchFailed:
		return fmt.Sprintf("[SWITCH FAILED] %s: %s is still primary (epoch %d)", place, n.To, n.Epoch)
	}
	return fmt.Sprintf("[TEST] %s: this is how Baton tells", place)
}

func orNobody(n cluster.NodeName) string {
	if n == "" {
		return "nobody"
	}
	return string(n)
}

// Text is a notice with all that a person needs.
func (n Notice) Text() string {
	lines := []string{n.Title()}
	add := func(what, text string) {
		if text != "" {
			lines = append(lines, what+text)
		}
	}
	add("", n.Sign)
	add("Seen: ", n.Detail)
	if n.Kind != Raised && n.Kind != Resolved {
		add("Reason: ", string(n.Reason))
	}
	if n.Kind != Resolved {
		add("To do: ", n.Advice)
	}
	add("Told by ", fmt.Sprintf("%s at %s", n.By, n.At))
	return strings.Join(lines, "\n")
}

// A Sender tells one receiver. It makes one attempt.
type Sender interface {
	Send(ctx context.Context, n Notice) error
}
