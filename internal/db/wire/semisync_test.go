package wire

import "testing"

func TestWhatLetsACommitBeAnsweredWithoutAnAcknowledgementIsNamed(t *testing.T) {
	strong := map[string]string{
		"rpl_semi_sync_master_timeout": "31536000000", "rpl_semi_sync_master_wait_point": "AFTER_SYNC", "rpl_semi_sync_master_wait_no_slave": "ON",
		"rpl_semi_sync_source_wait_for_replica_count": "2", "rpl_semi_sync_replica_enabled": "OFF", "Rpl_semi_sync_source_no_tx": "0",
	}
	for _, c := range []struct {
		name, key, value string
		on               bool
		want             string
	}{
		{"as Baton sets it", "", "", true, ""},
		{"a short time limit", "rpl_semi_sync_master_timeout", "10000", true, "rpl_semi_sync_master_timeout is 10000"},
		{"the wrong point", "rpl_semi_sync_master_wait_point", "AFTER_COMMIT", true, "rpl_semi_sync_master_wait_point is AFTER_COMMIT"},
		{"nobody is waited for when nobody is there", "rpl_semi_sync_master_wait_no_slave", "OFF", true, "rpl_semi_sync_master_wait_no_slave is OFF"},
		{"MySQL's name of it", "rpl_semi_sync_source_wait_no_replica", "OFF", true, "rpl_semi_sync_source_wait_no_replica is OFF"},
		{"fewer acknowledgements than are asked for", "rpl_semi_sync_source_wait_for_replica_count", "1", true, "rpl_semi_sync_source_wait_for_replica_count is 1"},
		{"more acknowledgements than are asked for", "rpl_semi_sync_source_wait_for_replica_count", "3", true, ""},
		{"the older name of their number", "rpl_semi_sync_master_wait_for_slave_count", "1", true, "rpl_semi_sync_master_wait_for_slave_count is 1"},
		{"not enabled", "rpl_semi_sync_master_timeout", "10000", false, ""},
	} {
		v := map[string]string{}
		for k, s := range strong {
			v[k] = s
		}
		if c.key != "" {
			v[c.key] = c.value
		}
		if got := WeakSemiSync(c.on, v, 2); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
