package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// State is a replacement that is under way, as it must be known after any crash.
// Whether the copy is in place already is seen by its mark (Place.Holds).
type State struct {
	ID    string `json:"id"` // of the request; empty: nothing is under way
	Dir   Place  `json:"dir"`
	Donor string `json:"donor"`
	// Old is where the data is that this server had. Unfinished is where a copy
	// went that was put in place before and was never of use.
	Old        string `json:"old,omitempty"`
	Unfinished string `json:"unfinished,omitempty"`
	// Logged is what a server of MariaDB has to be told of its past: the state of
	// the binary log that its copy came without.
	Logged string `json:"logged,omitempty"`
}

// Placed reports whether the copy is in place, and its server may not know yet
// what it holds.
func (s State) Placed() bool { return s.ID != "" && s.Dir.Holds(s.ID) }

// Journal keeps the State in a file.
type Journal string

// Load returns what is under way; the zero State if nothing is.
func (j Journal) Load() (State, error) {
	var s State
	b, err := os.ReadFile(string(j))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return State{}, fmt.Errorf("read how far the replacement of the data had come: %w", err)
	}
	return s, nil
}

// Save writes s so that it is whole after a crash at any moment.
func (j Journal) Save(s State) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("note how far the replacement of the data has come: %w", err)
		}
	}()
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(string(j)), filepath.Base(string(j))+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), string(j))
}

// Clear forgets it: the data is whole.
func (j Journal) Clear() error {
	if err := os.Remove(string(j)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the replacement of the data: %w", err)
	}
	return nil
}
