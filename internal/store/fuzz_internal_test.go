package store

import (
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/cluster/clustertest"
)

// FuzzChange: whatever stands under a cluster's keys, it is read whole or not at
// all, and never as another node's or another request's.
func FuzzChange(f *testing.F) {
	request, err := cluster.Encode(cluster.Request{Schema: 1, ID: "r1", Kind: cluster.RequestPause, By: "ann"})
	if err != nil {
		f.Fatal(err)
	}
	view, err := cluster.Encode(cluster.View{Schema: 1, Observer: "db1"})
	if err != nil {
		f.Fatal(err)
	}
	for _, key := range []string{"record", "lease", "facts/db1", "views/db1", "requests/r1", "requests/r2", "history/7/db1", "facts/", "facts/a/b", "", "other"} {
		f.Add(key, request)
		f.Add(key, []byte(`{"schema":2,"node":"db1","observer":"db1","id":"r1"}`))
	}
	for _, odd := range clustertest.Odd(request) {
		f.Add("requests/r1", odd)
	}
	for _, odd := range clustertest.Odd(view) {
		f.Add("views/db1", odd)
	}
	s := New(nil, "shop", Options{})
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		c, ours := s.change(Event{KV: KV{Key: "/baton/shop/" + key, Value: value, Rev: 9}})
		if !ours {
			return
		}
		snap := Snapshot{Facts: map[cluster.NodeName]Entry[cluster.Fact]{}, Views: map[cluster.NodeName]Entry[cluster.View]{}, Requests: map[string]Entry[cluster.Request]{}}
		snap.Apply(c)
		if bad := snap.Unreadable(); (c.Err != nil) != (bad[key] != nil) || len(bad) > 1 {
			t.Fatalf("%q: %v, and unreadable are %v", key, c.Err, bad)
		}
		_, name, _ := strings.Cut(key, "/")
		said := string(c.Fact.Node) + string(c.View.Observer) + c.Request.ID // the others are empty
		if c.Err != nil && (c.Record.Schema != 0 || c.Lease.Schema != 0 || said != "") || c.Err == nil && said != name {
			t.Fatalf("%q holding %s became %+v", key, value, c)
		}
	})
}

func TestAValueOfAnotherNameIsNotBelieved(t *testing.T) {
	s := New(nil, "shop", Options{})
	for key, value := range map[string]string{
		"facts/db1":   `{"schema":1,"node":"db2"}`,
		"views/db1":   `{"schema":1,"observer":"db3"}`,
		"requests/r1": `{"schema":1,"id":"r2","kind":"switchover"}`,
	} {
		c, ours := s.change(Event{KV: KV{Key: "/baton/shop/" + key, Value: []byte(value), Rev: 9}})
		if !ours || c.Err == nil || !strings.Contains(c.Err.Error(), "damaged, or was written by hand") || c.Fact.Schema+c.View.Schema+c.Request.Schema != 0 {
			t.Errorf("%s: %+v", key, c)
		}
	}
}
