package embed

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
)

func TestWhatTheOthersSayDecidesHowAnEmptyMemberStarts(t *testing.T) {
	at := func(port uint16) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), port)
	}
	m := &Member{opts: Options{
		Cluster: "shop", Self: "db1", DataDir: "/data",
		Peers: map[cluster.NodeName]netip.AddrPort{"db1": at(1), "db2": at(2), "w1": at(3)},
	}}
	entry := func(id uint64, name, url string, client ...string) memberEntry {
		return memberEntry{ID: id, Name: name, PeerURLs: []string{url}, ClientURLs: client}
	}
	const url1, url2, url3 = "https://10.0.0.1:1", "https://10.0.0.1:2", "https://10.0.0.1:3"
	others := []memberEntry{entry(2, "db2", url2, "unix:///x"), entry(3, "w1", url3, "unix:///x")}
	with := func(self ...memberEntry) answer { return answer{kind: member, members: slices.Concat(self, others)} }
	newOne, none := answer{kind: fresh}, answer{kind: silent, err: errors.New("refused")}
	started := entry(1, "db1", url1, "unix:///x")
	neverReady := entry(1, "db1", url1)
	invited := entry(9, "", url1)
	memory := func(id string) *marker { return &marker{Cluster: "shop", Name: "db1", Member: id} }

	for name, tt := range map[string]struct {
		marked   *marker
		db2, w1  answer
		state    string
		initial  string
		missing  []cluster.NodeName
		err      error
		alsoSays string
	}{
		"all are new":                        {db2: newOne, w1: newOne, state: "new", initial: "db1=" + url1 + ",db2=" + url2 + ",w1=" + url3},
		"the others have begun without it":   {db2: with(neverReady), w1: newOne, state: "new", initial: "db1=" + url1 + ",db2=" + url2 + ",w1=" + url3},
		"one has not answered":               {db2: newOne, w1: none, missing: []cluster.NodeName{"w1"}},
		"nobody has answered":                {db2: none, w1: none, missing: []cluster.NodeName{"db2", "w1"}},
		"one that has begun is not all":      {db2: with(neverReady), w1: none, missing: []cluster.NodeName{"w1"}},
		"the others know it":                 {db2: with(started), w1: none, err: ErrWiped, alsoSays: "baton store member replace db1"},
		"one of them lags and does not yet":  {db2: with(neverReady), w1: with(started), err: ErrWiped},
		"it remembers, although nobody else": {marked: memory("1"), db2: newOne, w1: newOne, err: ErrWiped},
		"it remembers and nobody answers":    {marked: memory("1"), db2: none, w1: none, err: ErrWiped},
		"it was removed":                     {db2: with(), w1: none, err: ErrNotMember, alsoSays: "db2 does not list it"},
		"it is invited":                      {marked: memory("1"), db2: with(invited), w1: none, state: "existing", initial: "db1=" + url1 + ",db2=" + url2 + ",w1=" + url3},
		"it is invited and one lags":         {marked: memory("1"), db2: with(started), w1: with(invited), state: "existing", initial: "db1=" + url1 + ",db2=" + url2 + ",w1=" + url3},
		"it has used up its invitation":      {marked: memory("9"), db2: with(invited), w1: none, err: ErrWiped},
		"another one is invited as well": {db2: answer{kind: member, members: []memberEntry{invited, others[0], entry(0xa, "", url3)}}, w1: none,
			state: "existing", initial: "db1=" + url1 + ",db2=" + url2 + ",unstarted-a=" + url3},
	} {
		t.Run(name, func(t *testing.T) {
			f, missing, err := m.conclude(tt.marked, map[cluster.NodeName]answer{"db2": tt.db2, "w1": tt.w1})
			if f.state != tt.state || f.initial != tt.initial || !slices.Equal(missing, tt.missing) || !errors.Is(err, tt.err) {
				t.Errorf("%+v, missing %v, %v", f, missing, err)
			}
			if err != nil && !strings.Contains(err.Error(), tt.alsoSays) {
				t.Errorf("%q is not said: %v", tt.alsoSays, err)
			}
		})
	}
}
