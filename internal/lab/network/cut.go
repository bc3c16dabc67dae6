package network

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// A Cut says which frames the switch loses. Frames are lost in silence: every
// host keeps its carrier and nobody gets a reset.
type Cut struct {
	rules []string
}

// From loses what the host sends.
func From(host string) Cut {
	return Cut{[]string{fmt.Sprintf("iifname %q drop", port(host))}}
}

// To loses what is sent to the host.
func To(host string) Cut {
	return Cut{[]string{fmt.Sprintf("oifname %q drop", port(host))}}
}

// Clients loses everything on the host's second card, in ClientNet.
func Clients(host string) Cut {
	return Cut{[]string{fmt.Sprintf("iifname %q drop", clientPort(host)), fmt.Sprintf("oifname %q drop", clientPort(host))}}
}

// Between loses everything between two groups of hosts, in both directions.
func Between(a, b []string) Cut {
	return Cut{[]string{
		fmt.Sprintf("iifname %s oifname %s drop", ports(a), ports(b)),
		fmt.Sprintf("iifname %s oifname %s drop", ports(b), ports(a)),
	}}
}

// TCPPort loses what is sent to and from a TCP port, whoever sends it.
func TCPPort(number int) Cut {
	return Cut{[]string{
		fmt.Sprintf("meta l4proto tcp th dport %d drop", number),
		fmt.Sprintf("meta l4proto tcp th sport %d drop", number),
	}}
}

// Streams loses what a host sends from one of its ports over some connections, named
// by the port at the other end.
func Streams(host string, number int, to []int) Cut {
	var ends []string
	for _, p := range to {
		ends = append(ends, strconv.Itoa(p))
	}
	return Cut{[]string{fmt.Sprintf("iifname %q meta l4proto tcp th sport %d th dport { %s } drop", port(host), number, strings.Join(ends, ", "))}}
}

// And loses what either loses.
func (c Cut) And(d Cut) Cut { return Cut{append(c.rules[:len(c.rules):len(c.rules)], d.rules...)} }

func ports(hosts []string) string {
	quoted := make([]string, len(hosts))
	for i, h := range hosts {
		quoted[i] = fmt.Sprintf("%q", port(h))
	}
	return "{ " + strings.Join(quoted, ", ") + " }"
}

// table is the firewall table of a cut: one each, so that they come and go
// independently.
func table(name string) string { return "bridge cut-" + name }

// Cut starts losing frames. A cut of the same name is replaced.
func (n Network) Cut(ctx context.Context, name string, c Cut) error {
	var b strings.Builder
	fmt.Fprintf(&b, "add table %[1]s\ndelete table %[1]s\nadd table %[1]s\n", table(name))
	fmt.Fprintf(&b, "add chain %s forward { type filter hook forward priority 0; }\n", table(name))
	for _, r := range c.rules {
		fmt.Fprintf(&b, "add rule %s forward %s\n", table(name), r)
	}
	return n.nft(ctx, b.String())
}

// Mend ends a cut. One that does not exist is no error.
func (n Network) Mend(ctx context.Context, name string) error {
	return n.nft(ctx, fmt.Sprintf("add table %[1]s\ndelete table %[1]s\n", table(name)))
}

func (n Network) nft(ctx context.Context, script string) error {
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", n.switchNamespace(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft %q in %s: %w: %s", script, n.switchNamespace(), err, bytes.TrimSpace(out))
	}
	return nil
}
