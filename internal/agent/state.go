package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// memory is what an agent keeps over its own restarts.
type memory struct {
	// Epoch is the newest one it has seen: it refuses a record of an older one,
	// which a store restored from a backup might hold.
	Epoch cluster.Epoch `json:"epoch"`
	// Reign is the newest one in which this node was primary.
	Reign reign `json:"reign,omitzero"`
}

// reign is what is remembered of a reign, to say later what clients were told.
type reign struct {
	Epoch cluster.Epoch `json:"epoch"`
	// Waited says that commits waited for an acknowledgement whenever anybody was
	// there to give one.
	Waited bool `json:"waited,omitempty"`
	// Life is the life of the server that it served in last.
	Life string `json:"life,omitempty"`
	// Unkept says that the server was started again before its agent could copy
	// the end of its log.
	Unkept bool `json:"unkept,omitempty"`
	// Ended is what the server had when it was first seen read-only afterwards.
	Ended gtid.Set `json:"ended,omitzero"`
}

const memoryFile = "agent.json"

// remember reads what the last agent on this host kept; nothing if there was
// none.
func remember(dir string) (memory, error) {
	var m memory
	b, err := os.ReadFile(filepath.Join(dir, memoryFile))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		return memory{}, fmt.Errorf("read what this agent remembers: %w", err)
	}
	return m, nil
}

// keep writes m so that it is whole after a crash at any moment.
func (m memory) keep(dir string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := writeWhole(filepath.Join(dir, memoryFile), b); err != nil {
		return fmt.Errorf("remember epoch %d: %w", m.Epoch, err)
	}
	return nil
}

// writeWhole writes a file that is the old one or the new one at any moment.
func writeWhole(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // of no effect once it is renamed
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
