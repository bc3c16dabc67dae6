package binlog_test

import (
	"testing"

	"github.com/baton-db/baton/internal/core/binlog"
)

func TestAHeaderIsReadAsTheFormatSays(t *testing.T) {
	// time 0, kind 33, server 0x01020304, length 65, end 0x10000, flags 0
	b := []byte{0, 0, 0, 0, 33, 4, 3, 2, 1, 65, 0, 0, 0, 0, 0, 1, 0, 0, 0}
	h := binlog.ReadHeader(b)
	if want := (binlog.Header{Kind: binlog.GTID, Server: 0x01020304, Length: 65}); h != want {
		t.Errorf("got %+v, want %+v", h, want)
	}
	for name, tt := range map[string]struct {
		header binlog.Header
		left   int64
		want   bool
	}{
		"it fits":                          {h, 65, true},
		"more than is left":                {h, 64, false},
		"shorter than a header":            {binlog.Header{Kind: binlog.Xid, Length: 18}, 100, false},
		"zeros, as after a crash":          {binlog.Header{}, 100, false},
		"a header alone, as a Stop can be": {binlog.Header{Kind: binlog.Stop, Length: 19}, 19, true},
	} {
		if got := tt.header.Plausible(tt.left); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestTransactionsBeginWithTheirNumber(t *testing.T) {
	begins := map[binlog.Kind]bool{binlog.GTID: true, binlog.Anonymous: true, binlog.TaggedGTID: true, binlog.GTIDMaria: true}
	for k := range 256 {
		if got := binlog.Kind(k).BeginsTransaction(); got != begins[binlog.Kind(k)] {
			t.Errorf("kind %d: %v", k, got)
		}
	}
}
