package mariadb

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/core/gtid"
)

func TestPositionsToWaitFor(t *testing.T) {
	for set, want := range map[string]string{
		"":                           "",
		"0-1-100":                    "0-1-100",
		"0-1-100,0-2-101":            "0-2-101",
		"0-1-101..105,1-7-9":         "0-1-105,1-7-9",
		"5-1-3,0-1-4,10-1-5":         "0-1-4,5-1-3,10-1-5",
		"0-1-18446744073709551615":   "0-1-18446744073709551615",
		"4294967295-4294967295-1..2": "4294967295-4294967295-2",
	} {
		if got := waitFor(gtid.MustParse(set)); got != want {
			t.Errorf("%s: %s, want %s", set, got, want)
		}
	}
}

// relayEvents are rows of SHOW RELAYLOG EVENTS.
func relayEvents(rows ...[2]string) (events []map[string]string) {
	for i, r := range rows {
		events = append(events, map[string]string{"Log_name": "relay.000002", "Pos": string(rune('1' + i)), "Event_type": r[0], "Info": r[1]})
	}
	return events
}

func TestOnlyWholeTransactionsOfARelayLogCount(t *testing.T) {
	var c relayScan
	for _, e := range relayEvents(
		[2]string{"Format_desc", ""},
		[2]string{"Gtid", "BEGIN GTID 0-1-5"}, [2]string{"Query", "use `app`; insert …"}, [2]string{"Xid", "COMMIT /* xid=1 */"},
		[2]string{"Gtid", "GTID 0-1-6"}, [2]string{"Query", "use `app`; create table t (v int)"},
		[2]string{"Gtid", "BEGIN GTID 0-2-7 cid=3"}, [2]string{"Query", "COMMIT"},
		[2]string{"Gtid", "BEGIN GTID 0-1-8"}, [2]string{"Write_rows_v1", ""},
	) {
		c.event(e)
	}
	want := []found{{"0-1-5", place{"relay.000002", 2}}, {"0-1-6", place{"relay.000002", 5}}, {"0-2-7", place{"relay.000002", 7}}}
	if diff := cmp.Diff(want, c.found, cmp.AllowUnexported(found{}, place{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for applied, want := range map[string]place{
		"0-1-4": {"relay.000002", 2}, "0-1-5": {"relay.000002", 5}, "0-1-6": {"relay.000002", 7}, "1-1-99": {"relay.000002", 2},
	} {
		if at, ok := c.firstBeyond(applied); !ok || at != want {
			t.Errorf("having applied %s it goes on at %v", applied, at)
		}
	}
	if at, ok := c.firstBeyond("0-2-7"); ok {
		t.Errorf("having applied all it goes on at %v", at)
	}
}

func TestRelayLogsFollowEachOther(t *testing.T) {
	for file, want := range map[string]string{
		"db1-relay-bin.000001": "db1-relay-bin.000002",
		"a.b.000999":           "a.b.001000",
		"relay.999999":         "relay.1000000",
	} {
		if got := successor(file); got != want {
			t.Errorf("after %s comes %s, want %s", file, got, want)
		}
	}
}
