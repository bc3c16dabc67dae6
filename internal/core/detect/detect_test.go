package detect

import (
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Short names keep a story to a line each.
const (
	ms = time.Millisecond

	unknown = cluster.Unknown
	up      = cluster.Up
	suspect = cluster.Suspect
	down    = cluster.Down
)

// limits as of profile fast; the observer's loop turns every 100 ms.
var limits = Limits{Normal: time.Second, Suspect: 250 * ms, Critical: 100 * ms, Hang: time.Second, Slow: 250 * ms, Pause: 150 * ms}

// event is one line of a story: what happens, when, and how the layer is judged
// right after.
type event struct {
	at   time.Duration
	what func(Track, cluster.Instant) Track
	want cluster.LayerState
}

// boot is when the stories begin: instants are not zero.
const boot = cluster.Instant(time.Hour)

func ask(t Track, now cluster.Instant) Track  { return t.Asked(now, 0) }
func wait(t Track, now cluster.Instant) Track { return t.Asked(now, 500*ms) }
func tick(t Track, now cluster.Instant) Track { return t.Tick(now) }

func waitLong(t Track, now cluster.Instant) Track { return t.Asked(now, 900*ms) }

func end(o Outcome, sent time.Duration, err string) func(Track, cluster.Instant) Track {
	return func(t Track, now cluster.Instant) Track {
		s := boot.Add(sent)
		return t.Observe(now, Result{Sent: s, Outcome: o, Latency: now.Sub(s), Error: err})
	}
}
func answered(sent time.Duration) func(Track, cluster.Instant) Track { return end(Answered, sent, "") }
func refused(sent time.Duration) func(Track, cluster.Instant) Track {
	return end(Refused, sent, "connection refused")
}
func lost(sent time.Duration) func(Track, cluster.Instant) Track {
	return end(NoAnswer, sent, "deadline passed")
}

// awake ticks every 100 ms from one time to another.
func awake(from, to time.Duration) func(Track, cluster.Instant) Track {
	return func(t Track, _ cluster.Instant) Track {
		for at := from; at <= to; at += 100 * ms {
			t = t.Tick(boot.Add(at))
		}
		return t
	}
}

func play(t *testing.T, track Track, story []event) Track {
	t.Helper()
	for i, e := range story {
		track = e.what(track, boot.Add(e.at))
		if got := track.Verdict(boot.Add(e.at)); got.State != e.want {
			t.Fatalf("line %d, at %s: %q (%s), want %q", i+1, e.at, got.State, got.Evidence, e.want)
		}
	}
	return track
}

func TestStories(t *testing.T) {
	for name, tt := range map[string]struct {
		layer Layer
		story []event
	}{
		"nothing is known before the first result": {Port, []event{
			{0, tick, unknown}, {0, ask, unknown}, {5 * ms, answered(0), up}}},
		"a single lost probe makes it only suspect": {Port, []event{
			{0, answered(0), up}, {1000 * ms, wait, up}, {1500 * ms, lost(1000 * ms), suspect}, {1750 * ms, answered(1740 * ms), up}}},
		"also if its deadline is nearly as long as the hang limit": {Server, []event{
			{0, answered(0), up}, {1000 * ms, waitLong, up}, {1900 * ms, lost(1000 * ms), suspect}, {2150 * ms, ask, suspect}, {2160 * ms, answered(2150 * ms), up}}},
		"three failures in a row make it down": {Port, []event{
			{0, answered(0), up}, {1000 * ms, refused(1000 * ms), suspect}, {1250 * ms, refused(1250 * ms), suspect}, {1350 * ms, lost(1350 * ms), down}}},
		"failures that are not in a row do not": {Port, []event{
			{0, refused(0), suspect}, {250 * ms, refused(250 * ms), suspect}, {350 * ms, answered(350 * ms), up},
			{1350 * ms, refused(1350 * ms), suspect}, {1600 * ms, refused(1600 * ms), suspect}, {1700 * ms, answered(1700 * ms), up}}},
		"what was down is up after two answers in a row": {Host, []event{
			{0, refused(0), suspect}, {100 * ms, refused(100 * ms), suspect}, {200 * ms, refused(200 * ms), down},
			{300 * ms, answered(300 * ms), suspect}, {400 * ms, answered(400 * ms), up}}},
		"one failure while it recovers makes it down again": {Host, []event{
			{0, refused(0), suspect}, {100 * ms, refused(100 * ms), suspect}, {200 * ms, refused(200 * ms), down},
			{300 * ms, answered(300 * ms), suspect}, {400 * ms, refused(400 * ms), down},
			{500 * ms, answered(500 * ms), suspect}, {600 * ms, answered(600 * ms), up}}},
		"refusals of a server add up, as nobody serves there": {Server, []event{
			{0, answered(0), up}, {100 * ms, refused(100 * ms), suspect}, {200 * ms, refused(200 * ms), suspect}, {300 * ms, refused(300 * ms), down}}},
		"lost answers of a server do not, until the hang limit": {Server, []event{
			{0, answered(0), up}, {100 * ms, ask, up}, {200 * ms, lost(100 * ms), suspect}, {300 * ms, lost(200 * ms), suspect},
			{400 * ms, lost(300 * ms), suspect}, {500 * ms, lost(400 * ms), suspect}, {900 * ms, awake(500*ms, 900*ms), suspect}, {1000 * ms, tick, suspect}, {1010 * ms, lost(1000 * ms), down}}},
		"a probe that is still out shows a hang too": {Server, []event{
			{0, answered(0), up}, {100 * ms, ask, up}, {300 * ms, awake(100*ms, 300*ms), up}, {350 * ms, tick, suspect},
			{950 * ms, awake(350*ms, 950*ms), suspect}, {1000 * ms, tick, down}}},
		"a host may hang as well: one echo that is out for so long": {Host, []event{
			{0, answered(0), up}, {100 * ms, ask, up}, {1000 * ms, awake(100*ms, 1000*ms), down}}},
		"of the time when nobody asked only a quarter of the limit counts": {Server, []event{
			{0, answered(0), up}, {900 * ms, ask, up}, {1600 * ms, awake(900*ms, 1600*ms), suspect}, {1650 * ms, tick, down}}},
		"a server that never answered hangs from the first question on": {Server, []event{
			{0, ask, unknown}, {900 * ms, awake(0, 900*ms), suspect}, {1000 * ms, tick, down}}},
		"after a hang one answer is not enough": {Server, []event{
			{0, answered(0), up}, {0, ask, up}, {1000 * ms, awake(0, 1000*ms), down}, {1010 * ms, answered(0), suspect}, {1110 * ms, answered(1105 * ms), up}}},
		"silence without a question is nothing": {Server, []event{
			{0, answered(0), up}, {900 * ms, tick, up}, {1800 * ms, tick, up}, {2700 * ms, tick, up}}},
		"an older failure that comes late is overtaken by a newer answer": {Server, []event{
			{0, ask, unknown}, {100 * ms, ask, unknown}, {110 * ms, answered(100 * ms), up}, {120 * ms, refused(0), up}}},
		"an older answer that comes late does not undo a newer failure": {Server, []event{
			{0, ask, unknown}, {100 * ms, ask, unknown}, {110 * ms, refused(100 * ms), suspect}, {120 * ms, answered(0), suspect}}},
		"but shows that the server lived then": {Server, []event{
			{0, answered(0), up}, {100 * ms, ask, up}, {200 * ms, ask, up}, {700 * ms, awake(200*ms, 700*ms), suspect}, {710 * ms, lost(200 * ms), suspect},
			{720 * ms, answered(100 * ms), suspect}, {730 * ms, ask, suspect}, {1050 * ms, awake(730*ms, 1050*ms), suspect}, {1100 * ms, tick, down}}},
		"of two probes one answer leaves the other open": {Server, []event{
			{0, ask, unknown}, {100 * ms, ask, unknown}, {150 * ms, answered(100 * ms), up}, {350 * ms, awake(150*ms, 350*ms), up}, {400 * ms, tick, suspect},
			{1100 * ms, awake(400*ms, 1100*ms), suspect}, {1150 * ms, tick, down}}},
		"what hangs stays down until it answers": {Server, []event{
			{0, ask, unknown}, {1000 * ms, awake(0, 1000*ms), down}, {1010 * ms, refused(0), down}, {1110 * ms, ask, down}, {1210 * ms, lost(1110 * ms), down}}},
		"an observer that stood still blames nobody": {Server, []event{
			{0, answered(0), up}, {100 * ms, ask, up}, {30 * time.Second, tick, up}}},
		"nor for a deadline that passed meanwhile": {Port, []event{
			{0, answered(0), up}, {100 * ms, ask, up}, {30 * time.Second, lost(100 * ms), up}}},
		"but a refusal needs no clock": {Port, []event{
			{0, answered(0), up}, {100 * ms, ask, up}, {30 * time.Second, refused(100 * ms), suspect}}},
		"that time is taken out of what the limits count": {Server, []event{
			{0, answered(0), up}, {100 * ms, ask, up}, {500 * ms, awake(100*ms, 500*ms), suspect}, {30000 * ms, tick, suspect},
			{30400 * ms, awake(30100*ms, 30400*ms), suspect}, {30500 * ms, tick, down}}},
		"also for a server that never answered": {Server, []event{
			{0, ask, unknown}, {500 * ms, awake(0, 500*ms), suspect}, {30000 * ms, tick, suspect}, {30400 * ms, awake(30000*ms, 30400*ms), suspect}, {30500 * ms, tick, down}}},
		"one that says how long it waits has not stood still": {Server, []event{
			{0, answered(0), up}, {100 * ms, wait, up}, {600 * ms, lost(100 * ms), suspect}, {700 * ms, wait, suspect}, {1200 * ms, lost(700 * ms), down}}},
		"unless it comes back later than that": {Server, []event{
			{0, answered(0), up}, {100 * ms, wait, up}, {751 * ms, lost(100 * ms), up}}},
		"asking only at the look itself is standing still": {Server, []event{
			{0, answered(0), up}, {100 * ms, ask, up}, {5000 * ms, func(t Track, _ cluster.Instant) Track { return t }, up}}},
		"time does not run backwards": {Server, []event{
			{1000 * ms, answered(1000 * ms), up}, {1100 * ms, ask, up}, {500 * ms, tick, up}, {1200 * ms, tick, up}}},
	} {
		t.Run(name, func(t *testing.T) { play(t, New(tt.layer, limits), tt.story) })
	}
}

func TestIntervals(t *testing.T) {
	track := New(Port, limits)
	for i, tt := range []struct {
		event
		next time.Duration
	}{
		{event{0, answered(0), up}, time.Second},
		{event{1000 * ms, refused(1000 * ms), suspect}, 250 * ms},
		{event{1250 * ms, refused(1250 * ms), suspect}, 100 * ms},
		{event{1350 * ms, refused(1350 * ms), down}, 100 * ms},
		{event{1450 * ms, answered(1450 * ms), suspect}, 100 * ms},
		{event{1550 * ms, answered(1550 * ms), up}, time.Second},
		{event{2550 * ms, ask, up}, time.Second},
		{event{2850 * ms, awake(2550*ms, 2850*ms), suspect}, 250 * ms},
	} {
		track = play(t, track, []event{tt.event})
		if got := track.Next(); got != tt.next {
			t.Errorf("line %d: the next probe is due after %s, want %s", i+1, got, tt.next)
		}
	}
}

func TestRecoveryMayTakeMoreAnswers(t *testing.T) {
	slow := limits
	slow.Recover = 3
	play(t, New(Port, slow), []event{
		{0, refused(0), suspect}, {100 * ms, refused(100 * ms), suspect}, {200 * ms, refused(200 * ms), down},
		{300 * ms, answered(300 * ms), suspect}, {400 * ms, answered(400 * ms), suspect}, {500 * ms, answered(500 * ms), up}})
	quick := limits
	quick.Recover = 1
	play(t, New(Port, quick), []event{
		{0, refused(0), suspect}, {100 * ms, refused(100 * ms), suspect}, {200 * ms, refused(200 * ms), down}, {300 * ms, answered(300 * ms), up}})
}

func TestHung(t *testing.T) {
	track := play(t, New(Server, limits), []event{{0, answered(0), up}, {0, ask, up}, {900 * ms, awake(0, 900*ms), suspect}})
	if track.advance(boot.Add(999*ms)).hung || !track.advance(boot.Add(1000*ms)).hung {
		t.Error("it hangs when the limit is reached, not before")
	}
	refusing := play(t, New(Server, limits), []event{{0, refused(0), suspect}, {100 * ms, refused(100 * ms), suspect}, {200 * ms, refused(200 * ms), down}})
	if refusing.advance(boot.Add(300 * ms)).hung {
		t.Error("who refuses does not hang")
	}
}

func TestEvidence(t *testing.T) {
	for name, tt := range map[string]struct {
		story []event
		want  cluster.LayerView
	}{
		"the latency of the last answer": {
			[]event{{1500 * time.Microsecond, answered(0), up}}, cluster.LayerView{State: up, Micros: 1500}},
		"the last error": {
			[]event{{2 * ms, answered(0), up}, {5 * ms, refused(3 * ms), suspect}}, cluster.LayerView{State: suspect, Evidence: "connection refused", Micros: 2000}},
		"an open question": {
			[]event{{0, ask, unknown}, {400 * ms, awake(0, 400*ms), suspect}}, cluster.LayerView{State: suspect, Evidence: "no answer for 250ms"}},
		"a hang": {
			[]event{{0, ask, unknown}, {1300 * ms, awake(0, 1300*ms), down}}, cluster.LayerView{State: down, Evidence: "no answer for 1s"}},
		"recovering": {
			[]event{{0, ask, unknown}, {1000 * ms, awake(0, 1000*ms), down}, {1001 * ms, answered(0), suspect}},
			cluster.LayerView{State: suspect, Evidence: "answers again, 1 of 2 times", Micros: 1001000}},
	} {
		t.Run(name, func(t *testing.T) {
			track := play(t, New(Server, limits), tt.story)
			if got := track.Verdict(boot.Add(tt.story[len(tt.story)-1].at)); got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	want := Limits{Normal: time.Second, Suspect: 250 * ms, Critical: 100 * ms, Failures: 3, Recover: 2, Hang: 3 * time.Second, Slow: 250 * ms, Pause: 750 * ms}
	if got := (Limits{}).withDefaults(); got != want {
		t.Errorf("the defaults are %+v", got)
	}
	for _, l := range []Limits{{}, limits, {Normal: 50 * ms}, {Hang: 100 * ms}, {Failures: 2, Recover: 1}} {
		if err := l.Validate(); err != nil {
			t.Errorf("%+v: %v", l, err)
		}
	}
	for want, l := range map[string]Limits{
		"normal:":   {Normal: -1, Suspect: -2, Critical: -3},
		"suspect:":  {Suspect: 2 * time.Second},
		"critical:": {Critical: 400 * ms},
		"failures:": {Failures: 1},
		"recover:":  {Recover: -1},
		"hang:":     {Hang: -time.Second},
		"slow:":     {Slow: 4 * time.Second},
		"pause:":    {Pause: 4 * time.Second},
	} {
		if err := l.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want something on %q", l, err, want)
		}
	}
	if err := (Limits{Failures: 1, Recover: -1}).Validate(); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("want both findings at once: %v", err)
	}
}
