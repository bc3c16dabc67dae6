package endpoint_test

import (
	"context"
	"errors"
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
)

// fixed leads to one place, or cannot say where.
type fixed struct {
	node cluster.NodeName
	err  error
}

func (f fixed) Observe(context.Context) (endpoint.Target, error) {
	return endpoint.Target{Node: f.node}, f.err
}
func (f fixed) Set(context.Context, endpoint.Target) error { return nil }

func TestVerifySaysWhereAnEndpointLeadsAndWhy(t *testing.T) {
	for name, tt := range map[string]struct {
		endpoint fixed
		want     string
	}{
		"it leads there":                  {fixed{node: "db2"}, ""},
		"it leads elsewhere":              {fixed{node: "db1"}, "the address leads to db1, wanted db2"},
		"it leads nowhere, and says why":  {fixed{err: errors.New("nobody answers")}, "the address leads to nowhere, wanted db2, because nobody answers"},
		"it leads nowhere, without cause": {fixed{}, "the address leads to nowhere, wanted db2"},
	} {
		t.Run(name, func(t *testing.T) {
			err := endpoint.Verify(t.Context(), "the address", tt.endpoint, endpoint.Target{Epoch: 4, Node: "db2"})
			got := ""
			if err != nil {
				got = err.Error()
				var mismatch *endpoint.MismatchError
				if !errors.As(err, &mismatch) || mismatch.Want.Node != "db2" {
					t.Errorf("not a MismatchError for db2: %#v", err)
				}
			}
			if got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestAnOldEpochDoesNotPassTheGuard(t *testing.T) {
	var guard endpoint.EpochGuard
	for _, epoch := range []cluster.Epoch{3, 3, 5} {
		if err := guard.Pass("dns", epoch); err != nil {
			t.Errorf("epoch %d: %v", epoch, err)
		}
	}
	err := guard.Pass("dns", 4)
	if want := "dns: asked for by epoch 4, but epoch 5 has been here already"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestTheRegistryOpensWhatItHasAndListsItOtherwise(t *testing.T) {
	broken := errors.New("server: is missing")
	registry := endpoint.Registry[cluster.NodeName]{
		"fixed":  func(to cluster.NodeName) (endpoint.Endpoint, error) { return fixed{node: to}, nil },
		"broken": func(cluster.NodeName) (endpoint.Endpoint, error) { return nil, broken },
	}
	if e, err := registry.Open("fixed", "db1"); err != nil || e != (fixed{node: "db1"}) {
		t.Errorf("open a known kind: %v, %v", e, err)
	}
	if _, err := registry.Open("broken", "db1"); !errors.Is(err, broken) {
		t.Errorf("open with bad options: %v", err)
	}
	_, err := registry.Open("dsn", "db1")
	if want := `kind "dsn" is not known; there are [broken fixed]`; err == nil || err.Error() != want {
		t.Errorf("open an unknown kind: %v", err)
	}
}
