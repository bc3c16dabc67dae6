package reach_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reach"
)

// usual are the settings of a Linux that nobody has touched.
func usual() reach.Settings {
	return reach.Settings{"base_reachable_time_ms": 30000, "delay_first_probe_time": 5, "ucast_solicit": 3, "retrans_time_ms": 1000, "gc_stale_time": 60, "drop_gratuitous_arp": 0}
}

func TestForHowLongANeighbourIsWrong(t *testing.T) {
	for name, tt := range map[string]struct {
		change      func(reach.Settings)
		least, most time.Duration
		known       bool
	}{
		"as Linux has it":               {func(reach.Settings) {}, 23 * time.Second, 53 * time.Second, true},
		"it looks more often":           {func(s reach.Settings) { s["base_reachable_time_ms"] = 2000 }, 9 * time.Second, 11 * time.Second, true},
		"it asks at once, and once":     {func(s reach.Settings) { s["delay_first_probe_time"], s["ucast_solicit"] = 0, 1 }, 16 * time.Second, 46 * time.Second, true},
		"a setting could not be read":   {func(s reach.Settings) { delete(s, "retrans_time_ms") }, 0, 0, false},
		"it asks every 200 ms, 5 times": {func(s reach.Settings) { s["retrans_time_ms"], s["ucast_solicit"] = 200, 5 }, 21 * time.Second, 51 * time.Second, true},
	} {
		s := usual()
		tt.change(s)
		if least, most, known := reach.Stale(s); least != tt.least || most != tt.most || known != tt.known {
			t.Errorf("%s: from %s to %s (%v), want from %s to %s (%v)", name, least, most, known, tt.least, tt.most, tt.known)
		}
	}
}

// The kernel's own documentation says 924.6 s for 15 (ip-sysctl.rst).
func TestWhenTCPGivesUp(t *testing.T) {
	for n, want := range map[int64]time.Duration{0: 200 * time.Millisecond, 3: 3 * time.Second, 8: 102200 * time.Millisecond, 15: 924600 * time.Millisecond} {
		if got, ok := reach.RetriesEnd(reach.Settings{"tcp_retries2": n}); !ok || got != want {
			t.Errorf("%d retries end after %s, want %s", n, got, want)
		}
	}
	if _, ok := reach.RetriesEnd(nil); ok {
		t.Error("what was not read is known")
	}
	if got, ok := reach.KeepaliveEnds(reach.Settings{"tcp_keepalive_time": 7200, "tcp_keepalive_intvl": 75, "tcp_keepalive_probes": 9}); !ok || got != 7875*time.Second {
		t.Errorf("keepalive ends after %s (%v)", got, ok)
	}
	if _, ok := reach.KeepaliveEnds(reach.Settings{"tcp_keepalive_time": 7200}); ok {
		t.Error("what was not read is known")
	}
}

// TestWhatIsWorthAChange: what is well has a meaning and no mend.
func TestWhatIsWorthAChange(t *testing.T) {
	v := func(n int64) *int64 { return &n }
	well := func() reach.Host {
		s := usual()
		s["arp_accept"], s["arp_announce"], s["arp_ignore"], s["rp_filter"], s["arp_notify"], s["locktime"] = 0, 2, 1, 2, 0, 100
		return reach.Host{Node: "db1", Paths: []reach.Path{
			{Address: netip.MustParseAddr("10.0.0.5"), Interface: "eth0", Settings: s},
			{Address: netip.MustParseAddr("10.0.0.6"), Interface: "eth0", Settings: s},
			{Address: netip.MustParseAddr("fd00::5"), Interface: "eth0", Settings: reach.Settings{"drop_unsolicited_na": 0, "ndisc_notify": 0}},
		}, TCP: reach.Settings{"tcp_keepalive_time": 7200, "tcp_keepalive_intvl": 75, "tcp_keepalive_probes": 9, "tcp_retries2": 15, "tcp_syn_retries": 6},
			Conntrack: reach.Settings{"nf_conntrack_tcp_timeout_established": 432000, "nf_conntrack_tcp_loose": 1, "nf_conntrack_tcp_be_liberal": 0, "nf_conntrack_tcp_timeout_unacknowledged": 300},
			Server:    &reach.Server{Wait: v(28800), Interactive: v(28800), NetRead: v(30), NetWrite: v(60), Connect: v(10), BackLog: v(90), Keepalive: v(0)},
			Clients:   &reach.Clients{Connections: 80}}
	}
	for name, tt := range map[string]struct {
		change func(*reach.Host)
		want   string // the settings that are worth a change
	}{
		"all is well":                       {func(*reach.Host) {}, ""},
		"announcements are ignored":         {func(h *reach.Host) { h.Paths[0].Settings["drop_gratuitous_arp"] = 1 }, "net.ipv4.conf.eth0.drop_gratuitous_arp=1"},
		"advertisements are ignored":        {func(h *reach.Host) { h.Paths[2].Settings["drop_unsolicited_na"] = 1 }, "net.ipv6.conf.eth0.drop_unsolicited_na=1"},
		"it asks in the address's name":     {func(h *reach.Host) { h.Paths[0].Settings["arp_announce"] = 0 }, "net.ipv4.conf.eth0.arp_announce=0"},
		"it answers nobody":                 {func(h *reach.Host) { h.Paths[0].Settings["arp_ignore"] = 8 }, "net.ipv4.conf.eth0.arp_ignore=8"},
		"it answers for what is on lo":      {func(h *reach.Host) { h.Paths[0].Loopback = true; h.Paths[0].Settings["arp_ignore"] = 0 }, "net.ipv4.conf.eth0.arp_ignore=0"},
		"strict, and there are two uplinks": {func(h *reach.Host) { h.Paths[0].Settings["rp_filter"] = 1 }, "net.ipv4.conf.eth0.rp_filter=1"},
		"the firewall forgets too soon":     {func(h *reach.Host) { h.Conntrack["nf_conntrack_tcp_timeout_established"] = 3600 }, "net.netfilter.nf_conntrack_tcp_timeout_established=3600"},
		"the firewall drops what it missed": {func(h *reach.Host) { h.Conntrack["nf_conntrack_tcp_loose"] = 0 }, "net.netfilter.nf_conntrack_tcp_loose=0"},
		"no room for all who come back":     {func(h *reach.Host) { h.Clients.Connections = 91 }, "@@back_log=90"},
		"sessions sleep for days":           {func(h *reach.Host) { h.Server.Wait = v(604800) }, "@@wait_timeout=604800"},
		"a witness, with nothing read":      {func(h *reach.Host) { *h = reach.Host{Node: "w1"} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := well()
			tt.change(&h)
			var got []string
			seen := map[string]bool{}
			for _, n := range reach.Notes(h) {
				if n.Node != h.Node || n.Means == "" || seen[n.Setting] {
					t.Errorf("said twice, or of nobody, or with no meaning: %+v", n)
				}
				if seen[n.Setting] = true; n.Mend != "" {
					got = append(got, n.Setting+"="+n.Value)
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("worth a change: %v, want %q", got, tt.want)
			}
		})
	}
}

func TestUsualTimesHaveASource(t *testing.T) {
	for _, k := range reach.Usual() {
		if k.Who == "" || k.What == "" || k.Takes == "" || k.Advice == "" || k.Source == "" {
			t.Errorf("something is missing in %+v", k)
		}
	}
}

func TestWhichClientsAskByThemselves(t *testing.T) {
	type counts map[string][3]int // client: segments in, with data, age of the last acknowledgement in seconds
	at := func(seconds int) cluster.Instant { return cluster.Instant(0).Add(time.Duration(seconds) * time.Second) }
	for name, tt := range map[string]struct {
		looks []counts // ten seconds apart
		want  *reach.Heard
	}{
		"one look tells nothing":               {[]counts{{"a": {5, 1, 3}}}, nil},
		"nobody is idle":                       {[]counts{{"a": {5, 1, 0}}, {"a": {9, 3, 0}}}, &reach.Heard{Over: 10_000}},
		"nobody asks":                          {[]counts{{"a": {5, 1, 3}}, {"a": {5, 1, 13}}, {"a": {5, 1, 23}}}, &reach.Heard{Over: 20_000, Idle: 1}},
		"one asks every 20 s, one does not":    {[]counts{{"a": {5, 1, 3}, "b": {4, 1, 9}}, {"a": {6, 1, 13}, "b": {4, 1, 19}}, {"a": {6, 1, 23}, "b": {4, 1, 29}}, {"a": {7, 1, 33}, "b": {4, 1, 39}}}, &reach.Heard{Over: 30_000, Idle: 2, Probed: 1, Every: 20_000}},
		"the server asked, and was answered":   {[]counts{{"a": {5, 1, 3}}, {"a": {6, 1, 2}}}, &reach.Heard{Over: 10_000, Idle: 1}},
		"used in between, it is not two apart": {[]counts{{"a": {5, 1, 3}}, {"a": {6, 1, 13}}, {"a": {9, 2, 1}}, {"a": {10, 2, 11}}}, &reach.Heard{Over: 30_000, Idle: 1, Probed: 1}},
		"another one with the same port":       {[]counts{{"a": {50, 1, 3}}, {"a": {2, 1, 13}}}, &reach.Heard{Over: 10_000}},
	} {
		t.Run(name, func(t *testing.T) {
			var p reach.Probes
			for i, look := range tt.looks {
				var all []reach.Counted
				for client, c := range look {
					all = append(all, reach.Counted{Client: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(client[0])), SegmentsIn: uint32(c[0]), DataIn: uint32(c[1]), AckAge: time.Duration(c[2]) * time.Second})
				}
				p.Look(at(100+10*i), all)
			}
			if diff := cmp.Diff(tt.want, p.Heard()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHowLongManyCallsTook(t *testing.T) {
	var times reach.Times
	if got := times.Distribution(); got != (reach.Distribution{}) {
		t.Errorf("nothing was done, and it took %+v", got)
	}
	for range 60 {
		times.Took(2*time.Millisecond, false)
	}
	for range 40 {
		times.Took(50*time.Millisecond, false)
	}
	times.Took(3*time.Second, true)
	got := times.Distribution()
	if got.Count != 101 || got.Failed != 1 || got.Worst != 3_000_000 || got.Sum != 60*2000+40*50_000+3_000_000 || got.Median < 2000 || got.Median > 2200 {
		t.Errorf("got %+v", got)
	}
	var one reach.Times
	one.Took(time.Hour, false)
	if got := one.Distribution(); got.Worst != time.Hour.Microseconds() || got.Median > got.Worst {
		t.Errorf("one that took an hour: %+v", got)
	}
}
