package config

import (
	"fmt"
	"time"
)

// atLeast reports a duration that is shorter than it must be.
func (l *loader) atLeast(path string, d, least time.Duration, why string) {
	if d < least {
		l.report(path, fmt.Sprintf("%s is %s", shortDuration(d), why), "write at least "+shortDuration(least))
	}
}

// atMost reports a duration that is longer than it may be.
func (l *loader) atMost(path string, d, most time.Duration, why string) {
	if d > most {
		l.report(path, fmt.Sprintf("%s is %s", shortDuration(d), why), "write at most "+shortDuration(most.Truncate(time.Millisecond)))
	}
}

// judgeLease: several renewals must fit into a lease, and something must be
// left of it when the next one is due.
func (l *loader) judgeLease() {
	t := l.cfg.Timing
	lease := shortDuration(t.Lease)
	before := len(l.found)
	l.atMost("timing.renew", t.Renew, t.Lease/3, fmt.Sprintf("more than a third of the lease of %s: one lost renewal would end it", lease))
	l.atMost("timing.call", t.Call, t.Lease/4, fmt.Sprintf("more than a quarter of the lease of %s: one slow call would end it", lease))
	if len(l.found) > before {
		return
	}
	// The gate closes margin early, and a renewal that is due may take a call.
	left := t.Lease - t.Renew - t.Call - t.Margin
	if left <= 0 {
		l.report("timing.margin", fmt.Sprintf("%s leaves nothing of the lease of %s: the gate would close between two renewals", shortDuration(t.Margin), lease),
			"write less than "+shortDuration((t.Lease-t.Renew-t.Call).Truncate(time.Millisecond)))
	} else if left < t.Lease/8 {
		l.warn("timing.margin", fmt.Sprintf("%s leaves %s of the lease of %s for a renewal to be late", shortDuration(t.Margin), shortDuration(left), lease), "write less, or a longer lease")
	}
}

// judgeWaits: limits that contain each other.
func (l *loader) judgeWaits() {
	t := l.cfg.Timing
	if t.Handoff <= t.Drain {
		l.report("timing.handoff", fmt.Sprintf("%s is over before drain, %s, is", shortDuration(t.Handoff), shortDuration(t.Drain)), "write more than "+shortDuration(t.Drain)+", such as "+shortDuration(2*t.Drain+t.Lease))
	}
	l.atLeast("timing.promote_stall", t.PromoteStall, t.Lease, "less than the lease: a candidate would be given up before it could take it")
	l.atLeast("timing.ack_leave", t.AckLeave, t.Lease, "less than the lease: replicas would leave the ack set at every hiccup")
	l.atMost("timing.promise_wait", t.PromiseWait, max(t.PromoteStall, 2*t.Lease), "so long that a failover would mostly wait for nodes that are gone")
}

func (l *loader) judgeDetection() {
	d, t := l.cfg.Detection, l.cfg.Timing
	l.atMost("detection.suspect", d.Suspect, d.Normal, fmt.Sprintf("more than normal, %s: a suspect is looked at more often", shortDuration(d.Normal)))
	l.atMost("detection.critical", d.Critical, d.Suspect, fmt.Sprintf("more than suspect, %s", shortDuration(d.Suspect)))
	l.atLeast("timing.hang", t.Hang, 2*d.Suspect, fmt.Sprintf("less than two looks at a suspect, %s apart", shortDuration(d.Suspect)))
	l.atMost("detection.timeout.server", d.Timeout.Server, t.Hang, fmt.Sprintf("more than timing.hang, %s, after which the server is hung anyway", shortDuration(t.Hang)))
	if d.Normal > t.Hang {
		l.warn("detection.normal", fmt.Sprintf("a frozen server is found up to %s after it froze, not within hang, %s", shortDuration(d.Normal+t.Hang*3/4), shortDuration(t.Hang)), "write at most "+shortDuration(t.Hang/4))
	}
}
