package agent

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint/vip"
	"github.com/baton-db/baton/internal/timeline"
)

const (
	macDB1, macDB2, macDB3 = "02:00:00:00:00:11", "02:00:00:00:00:12", "02:00:00:00:00:13"
	macOther, macForeign   = "02:00:00:00:01:12", "00:50:56:00:00:99"
)

// primary is db2, which has the address.
func primary() (mine, netip.Addr) {
	ip := netip.MustParseAddr("10.77.0.10")
	facts := map[cluster.NodeName]cluster.Fact{"db1": {MACs: []string{macDB1}}, "db2": {MACs: []string{macDB2}}, "db3": {MACs: []string{macDB3}}}
	return mine{self: "db2", homes: map[netip.Addr]vip.Home{ip: {MAC: macDB2, Other: []string{macOther}}},
		whose: func(mac string) cluster.NodeName { return ownerOf(mac, facts) }}, ip
}

func answers(macs ...string) []vip.Answer {
	var all []vip.Answer
	for i, m := range macs {
		all = append(all, vip.Answer{MAC: m, After: time.Duration(i+1) * 1500 * time.Microsecond})
	}
	return all
}

func TestWhatOthersSeeOfAnAddress(t *testing.T) {
	for name, tt := range map[string]struct {
		sight vip.Sight
		amiss map[cluster.Reason]string
		told  string
	}{
		"the primary answers": {vip.Sight{Interface: "eth0", Answers: answers(macDB2)}, nil,
			"10.77.0.10 answers with 02:00:00:00:00:12, 1.5 ms"},
		"its kernel knows it, too": {vip.Sight{Interface: "eth0", Answers: answers(macDB2), Cached: macDB2}, nil,
			"10.77.0.10 answers with 02:00:00:00:00:12, 1.5 ms"},
		"the primary answers with two of its interfaces": {vip.Sight{Interface: "eth0", Answers: answers(macDB2, macOther), Cached: macOther}, nil,
			"10.77.0.10 answers with 02:00:00:00:00:12, 1.5 ms and with 02:00:00:00:01:12, 3 ms"},
		"it is in another network": {vip.Sight{}, nil, "10.77.0.10 is in no network of it"},
		"it cannot look":           {vip.Sight{Interface: "eth0", Wrong: "operation not permitted"}, nil, "10.77.0.10: cannot look: operation not permitted"},
		"nobody answers": {vip.Sight{Interface: "eth0"}, map[cluster.Reason]string{
			cluster.AddressUnseen: "nobody answers for 10.77.0.10 (seen from db3)"}, "nobody answers for 10.77.0.10"},
		"a node answers, too": {vip.Sight{Interface: "eth0", Answers: answers(macDB2, macDB1)}, map[cluster.Reason]string{
			cluster.AddressDuplicate: "db1 (02:00:00:00:00:11) also answers for 10.77.0.10 (seen from db3)"},
			"10.77.0.10 answers with 02:00:00:00:00:12, 1.5 ms and with 02:00:00:00:00:11 (db1), 3 ms"},
		"a stranger answers, too": {vip.Sight{Interface: "eth0", Answers: answers(macForeign, macDB2)}, map[cluster.Reason]string{
			cluster.AddressForeign: "00:50:56:00:00:99 also answers for 10.77.0.10: it is none of our hosts (seen from db3)"},
			"10.77.0.10 answers with 00:50:56:00:00:99, 1.5 ms and with 02:00:00:00:00:12, 3 ms"},
		"only the host before answers": {vip.Sight{Interface: "eth0", Answers: answers(macDB1)}, map[cluster.Reason]string{
			cluster.AddressDuplicate: "db1 (02:00:00:00:00:11) also answers for 10.77.0.10 (seen from db3)",
			cluster.AddressUnseen:    "db2 does not answer for 10.77.0.10 (seen from db3)"},
			"10.77.0.10 answers with 02:00:00:00:00:11 (db1), 1.5 ms"},
		"its kernel knows the host before": {vip.Sight{Interface: "eth0", Answers: answers(macDB2), Cached: macDB1}, map[cluster.Reason]string{
			cluster.AddressUnseen: "what is for 10.77.0.10 still goes to 02:00:00:00:00:11 (db1) (seen from db3)"},
			"10.77.0.10 answers with 02:00:00:00:00:12, 1.5 ms (its kernel had 02:00:00:00:00:11 (db1))"},
		"somebody has written an entry": {vip.Sight{Interface: "eth0", Answers: answers(macDB2), Cached: macForeign, Fixed: true}, map[cluster.Reason]string{
			cluster.AddressUnseen: "a permanent neighbour entry sends what is for 10.77.0.10 to 00:50:56:00:00:99 (seen from db3)"},
			"10.77.0.10 answers with 02:00:00:00:00:12, 1.5 ms (its kernel had 00:50:56:00:00:99)"},
		"it has the address itself": {vip.Sight{Interface: "eth0", Here: []string{"10.77.0.10/24 on eth0"}}, map[cluster.Reason]string{
			cluster.AddressDuplicate: "db3 has 10.77.0.10/24 on eth0, too"}, "it has 10.77.0.10/24 on eth0 itself"},
	} {
		t.Run(name, func(t *testing.T) {
			m, ip := primary()
			tt.sight.IP = ip
			look := looked{by: "db3", sights: []vip.Sight{tt.sight}}
			now := m.judge([]looked{look})
			// Only what is so twice in a row is told to people.
			if got := lasting(amiss{}, now); len(got) > 0 {
				t.Errorf("told at once: %v", got)
			}
			got := lasting(now, now)
			if len(got) == 0 {
				got = nil
			}
			if diff := cmp.Diff(tt.amiss, got); diff != "" {
				t.Error(diff)
			}
			if (len(now.astray) > 0) != (len(tt.amiss) > 0) {
				t.Errorf("announced again: %v", now.astray)
			}
			outcome, text := m.told(look)
			if text != tt.told || (outcome == timeline.Failed) != (len(tt.amiss) > 0) {
				t.Errorf("on the timeline: %s, %q, want %q", outcome, text, tt.told)
			}
		})
	}
}

func TestWhatSeveralSeeIsSaidOnce(t *testing.T) {
	m, ip := primary()
	sight := []vip.Sight{{IP: ip, Interface: "eth0", Answers: answers(macDB2, macForeign)}}
	all := m.judge([]looked{{by: "db1", sights: sight}, {by: "db3", sights: sight}, {by: "w1", err: errors.New("it is gone")}})
	if got := all.String(); got != "00:50:56:00:00:99 also answers for 10.77.0.10: it is none of our hosts (seen from db1, db3)" {
		t.Errorf("it says %q", got)
	}
}

// TestAnAddressThatIsNotHereIsNotMissed: it is on loopback, or the primary has just lost
// it, and then knows that itself.
func TestAnAddressThatIsNotHereIsNotMissed(t *testing.T) {
	m, ip := primary()
	m.homes[ip] = vip.Home{Other: []string{macDB2}}
	if got := m.judge([]looked{{by: "db3", sights: []vip.Sight{{IP: ip, Interface: "eth0"}}}}); len(got.what) > 0 {
		t.Errorf("%v", got)
	}
}
