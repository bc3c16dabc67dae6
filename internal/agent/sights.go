package agent

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint/vip"
	"github.com/baton-db/baton/internal/timeline"
)

// looked is what one other node sees of the virtual addresses of this one.
type looked struct {
	by     cluster.NodeName
	sights []vip.Sight
	came   map[netip.Addr]bool // to which addresses its echoes came, this node's own among them
	err    error               // it did not say
}

// mine is what the primary itself knows of where its addresses are.
type mine struct {
	self  cluster.NodeName
	own   netip.Addr
	homes map[netip.Addr]vip.Home
	// whose names the node that a link-layer address belongs to; empty: none.
	whose func(mac string) cluster.NodeName
}

// amiss is what others see that should not be so.
type amiss struct {
	what   map[cluster.Reason][]remark
	astray []netip.Addr // addresses that some of them do not find here, or elsewhere too
}

// remark is one thing that is amiss, and who sees it so.
type remark struct {
	text string
	by   []string
}

func (r remark) String() string {
	if len(r.by) == 0 {
		return r.text
	}
	return fmt.Sprintf("%s (seen from %s)", r.text, strings.Join(r.by, ", "))
}

// add takes in one thing that somebody sees. What a node says of itself is by nobody.
func (m *amiss) add(ip netip.Addr, why cluster.Reason, by cluster.NodeName, format string, args ...any) {
	if !slices.Contains(m.astray, ip) {
		m.astray = append(m.astray, ip)
	}
	if m.what == nil {
		m.what = map[cluster.Reason][]remark{}
	}
	text := fmt.Sprintf(format, args...)
	i := slices.IndexFunc(m.what[why], func(r remark) bool { return r.text == text })
	if i < 0 {
		i = len(m.what[why])
		m.what[why] = append(m.what[why], remark{text: text})
	}
	if r := &m.what[why][i]; by != "" && !slices.Contains(r.by, string(by)) {
		r.by = append(r.by, string(by))
	}
}

// judge says what is amiss with what others see. Who does not say, or is in another
// network, says nothing of it.
func (m mine) judge(looks []looked) (found amiss) {
	for _, l := range looks {
		for _, s := range l.sights {
			m.judgeOne(l, s, &found)
		}
	}
	return found
}

func (m mine) judgeOne(l looked, s vip.Sight, found *amiss) {
	by := l.by
	if len(s.Here) > 0 {
		found.add(s.IP, cluster.AddressDuplicate, "", "%s has %s, too", by, strings.Join(s.Here, " and "))
	}
	home, here := m.homes[s.IP]
	if r := s.Routed; r != nil && home.Here && !l.came[s.IP] {
		switch {
		case r.Answered:
			found.add(s.IP, cluster.AddressUnseen, by, "what is sent to %s via %s is answered elsewhere than at %s", s.IP, r.Via, m.self)
		case l.came[m.own] && m.own.Is6() == s.IP.Is6(): // otherwise echoes may not come through at all
			found.add(s.IP, cluster.AddressUnseen, by, "what is sent to %s via %s does not come to %s", s.IP, r.Via, m.self)
		}
	}
	if !here || home.MAC == "" || s.Interface == "" || s.Wrong != "" {
		return
	}
	here = false
	for _, a := range s.Answers {
		switch node := m.whose(a.MAC); {
		case a.MAC == home.MAC:
			here = true
		case slices.Contains(home.Other, a.MAC): // the same host, by another interface
		case node == "":
			found.add(s.IP, cluster.AddressForeign, by, "%s also answers for %s: it is none of our hosts", a.MAC, s.IP)
		default:
			found.add(s.IP, cluster.AddressDuplicate, by, "%s (%s) also answers for %s", node, a.MAC, s.IP)
		}
	}
	switch {
	case len(s.Here) > 0: // it would not hear us
	case !here && len(s.Answers) == 0:
		found.add(s.IP, cluster.AddressUnseen, by, "nobody answers for %s", s.IP)
	case !here:
		found.add(s.IP, cluster.AddressUnseen, by, "%s does not answer for %s", m.self, s.IP)
	}
	if s.Cached != "" && s.Cached != home.MAC && !slices.Contains(home.Other, s.Cached) {
		how := "what is for %s still goes to %s"
		if s.Fixed {
			how = "a permanent neighbour entry sends what is for %s to %s"
		}
		found.add(s.IP, cluster.AddressUnseen, by, how, s.IP, m.named(s.Cached))
	}
}

// named is a link-layer address with whose it is.
func (m mine) named(mac string) string {
	if n := m.whose(mac); n != "" {
		return fmt.Sprintf("%s (%s)", mac, n)
	}
	return mac
}

// lasting is what was amiss before and is now: an announcement may be on its way, and
// the host before gives an address up a moment after this one has it.
func lasting(before, now amiss) map[cluster.Reason]string {
	all := map[cluster.Reason]string{}
	for why, what := range now.what {
		if len(before.what[why]) > 0 {
			all[why] = joined(what)
		}
	}
	return all
}

func joined(all []remark) string {
	var text []string
	for _, r := range all {
		text = append(text, r.String())
	}
	return strings.Join(text, "; ")
}

// String is for the log.
func (m amiss) String() string {
	var all []remark
	for _, why := range slices.Sorted(maps.Keys(m.what)) {
		all = append(all, m.what[why]...)
	}
	return joined(all)
}

// told is how one node's look stands on the timeline.
func (m mine) told(l looked) (timeline.Outcome, string) {
	if l.err != nil {
		return timeline.Failed, l.err.Error()
	}
	var found amiss
	var all []string
	for _, s := range l.sights {
		m.judgeOne(l, s, &found)
		all = append(all, m.describe(l, s))
	}
	if len(found.what) > 0 {
		return timeline.Failed, strings.Join(all, "; ")
	}
	return timeline.OK, strings.Join(all, "; ")
}

// describe is one sight in words.
func (m mine) describe(l looked, s vip.Sight) string {
	var text string
	switch {
	case s.Wrong != "":
		return fmt.Sprintf("%s: cannot look: %s", s.IP, s.Wrong)
	case len(s.Here) > 0:
		text = fmt.Sprintf("it has %s itself", strings.Join(s.Here, " and "))
	case s.Routed != nil:
		return m.describeRouted(l, s.IP, *s.Routed)
	case s.Interface == "":
		return fmt.Sprintf("%s is in no network of it", s.IP)
	case len(s.Answers) == 0:
		text = fmt.Sprintf("nobody answers for %s", s.IP)
	default:
		text = s.IP.String() + " answers with "
		for i, a := range s.Answers {
			if i > 0 {
				text += " and with "
			}
			who := a.MAC
			if a.MAC != m.homes[s.IP].MAC {
				who = m.named(a.MAC)
			}
			text += fmt.Sprintf("%s, %s", who, inMillis(a.After))
		}
	}
	if home := m.homes[s.IP]; s.Cached != "" && s.Cached != home.MAC && home.MAC != "" && !slices.Contains(home.Other, s.Cached) {
		text += fmt.Sprintf(" (its kernel had %s)", m.named(s.Cached))
	}
	return text
}

// describeRouted is what came of an echo, in words.
func (m mine) describeRouted(l looked, ip netip.Addr, r vip.Routed) string {
	switch {
	case l.came[ip] && r.Answered:
		return fmt.Sprintf("an echo to %s via %s comes to %s, %s", ip, r.Via, m.self, inMillis(r.After))
	case l.came[ip]:
		return fmt.Sprintf("an echo to %s via %s comes to %s, and no answer comes back", ip, r.Via, m.self)
	case r.Answered:
		return fmt.Sprintf("an echo to %s via %s is answered elsewhere than at %s", ip, r.Via, m.self)
	case l.came[m.own]:
		return fmt.Sprintf("an echo to %s via %s does not come to %s, and one to %s does", ip, r.Via, m.self, m.own)
	}
	return fmt.Sprintf("no echo comes through to %s, neither to %s via %s nor to %s", m.self, ip, r.Via, m.own)
}

// inMillis is the time of an answer, most of which come within a tenth of a millisecond.
func inMillis(d time.Duration) string { return fmt.Sprintf("%.3g ms", float64(d.Microseconds())/1000) }
