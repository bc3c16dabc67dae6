package embed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/client/pkg/v3/types"
)

// marker is what a node remembers of its member outside of the member's data.
type marker struct {
	Cluster string `json:"cluster"`
	Name    string `json:"name"`
	Member  string `json:"member"` // etcd's number of it
}

// readMarker returns nil if there is none.
func readMarker(o Options) (*marker, error) {
	b, err := os.ReadFile(o.Marker)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what is remembered of the store's member: %w", err)
	}
	var m marker
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("read what %s remembers of the store's member: %w", o.Marker, err)
	}
	if m.Cluster != o.Cluster || m.Name != string(o.Self) {
		return nil, fmt.Errorf("%s is of node %s in cluster %s, and this is node %s in cluster %s: has a directory been copied?", o.Marker, m.Name, m.Cluster, o.Self, o.Cluster)
	}
	return &m, nil
}

// writeMarker remembers the member, durably: by the time it votes, the file must
// survive a loss of power.
func writeMarker(o Options, id types.ID) error {
	doing := func(err error) error { return fmt.Errorf("remember the store's member in %s: %w", o.Marker, err) }
	b, err := json.Marshal(marker{Cluster: o.Cluster, Name: string(o.Self), Member: id.String()})
	if err != nil {
		return doing(err)
	}
	if had, err := os.ReadFile(o.Marker); err == nil && string(had) == string(b) {
		return nil
	}
	dir := filepath.Dir(o.Marker)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return doing(err)
	}
	f, err := os.CreateTemp(dir, filepath.Base(o.Marker)+".")
	if err != nil {
		return doing(err)
	}
	defer os.Remove(f.Name()) // without effect once it has been renamed
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return doing(err)
	}
	if err := os.Rename(f.Name(), o.Marker); err != nil {
		return doing(err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return doing(err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return doing(err)
	}
	return nil
}
