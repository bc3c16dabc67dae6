package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// aside is what was there before, for as long as new content is in place that may be
// refused: an agent that dies meanwhile finds it there, and not only in its memory.
type aside struct {
	New     string `json:"new"` // sum of what was put in place
	There   bool   `json:"there"`
	Content []byte `json:"content,omitempty"`
}

func (e *Endpoint) asideFile() string {
	return strings.TrimSuffix(e.o.Note, filepath.Ext(e.o.Note)) + "-before" + filepath.Ext(e.o.Note)
}

// setAside keeps before on the disk until forgetAside.
func (e *Endpoint) setAside(before kept, content []byte) error {
	if err := keep(e.asideFile(), aside{New: sum(content), There: before.there, Content: before.content}); err != nil {
		return fmt.Errorf("set aside what is there: %w", err)
	}
	return nil
}

// forgetAside is called when what was put in place is loaded or taken back. What stays by
// accident does no harm: it counts only for content that was never loaded.
func (e *Endpoint) forgetAside() { _ = os.Remove(e.asideFile()) }

// fromAside is what was there before an agent died with its new content in place, neither
// loaded nor taken back; otherwise what is there now.
func (e *Endpoint) fromAside(now kept, loaded note) (kept, error) {
	if !now.there || sum(now.content) == loaded.Sum {
		return now, nil
	}
	text, err := os.ReadFile(e.asideFile())
	if errors.Is(err, fs.ErrNotExist) {
		return now, nil
	}
	if err != nil {
		return kept{}, fmt.Errorf("read what was set aside: %w", err)
	}
	var a aside
	if json.Unmarshal(text, &a) != nil || a.New != sum(now.content) {
		return now, nil // somebody else's content, since
	}
	return kept{a.There, a.Content}, nil
}
