// Package template answers which primary a file on this host names, and makes it
// name another: it renders the file, has it checked, and has whoever reads it
// reload.
//
// It runs no command but those that it is given, and never leaves a file behind
// that was refused: the one before comes back. The rule: what leads where is what
// the file holds now and what the last reload that succeeded has read, which is
// noted on the disk; a file that was changed since is nobody's.
package template

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/baton-db/baton/internal/command"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/render"
)

// Options say what is rendered, and what is done about it.
type Options struct {
	File   string // the file that is kept
	Text   string // the template
	Mode   os.FileMode
	UID    int // -1: as the agent
	GID    int
	Check  []string // run after the file has changed; none: the file is not checked
	Reload []string // run after the check; none: somebody watches the file
	// Load, if it is given, has the file read in place of Reload, within Limit, and
	// returns once that is so. Of what was there before and is back nobody waits for it.
	Load    func(ctx context.Context, back bool) error
	Limit   time.Duration
	Note    string // the file in which it is noted what was loaded last
	Cluster string
	Servers []render.Server // of all data nodes
}

// Endpoint is one file. It implements endpoint.Endpoint, and is not safe for
// concurrent use.
type Endpoint struct {
	name  string
	o     Options
	text  render.Template
	guard endpoint.EpochGuard
}

// Open prepares a file. It writes nothing.
func Open(name string, o Options) (*Endpoint, error) {
	text, err := render.Parse(o.Text, "")
	if err != nil {
		return nil, fmt.Errorf("the template: %w", err)
	}
	return &Endpoint{name: name, o: o, text: text}, nil
}

// note is what was loaded last.
type note struct {
	Epoch cluster.Epoch    `json:"epoch"`
	Node  cluster.NodeName `json:"node"`
	Sum   string           `json:"sha256"` // of the file
}

// Observe implements endpoint.Endpoint: it reads the file. One that is missing
// leads nowhere; one that is not what was loaded last is endpoint.ErrForeign.
func (e *Endpoint) Observe(context.Context) (endpoint.Target, error) {
	content, err := os.ReadFile(e.o.File)
	if errors.Is(err, fs.ErrNotExist) {
		return endpoint.Target{}, nil
	}
	if err != nil {
		return endpoint.Target{}, err
	}
	n, err := e.loaded()
	if err != nil {
		return endpoint.Target{}, err
	}
	if n.Sum != sum(content) {
		return endpoint.Target{}, fmt.Errorf("%s holds something else than was loaded last: %w", e.o.File, endpoint.ErrForeign)
	}
	return endpoint.Target{Epoch: n.Epoch, Node: n.Node}, nil
}

// loaded reads the note; an empty one if there is none, or none that can be read.
func (e *Endpoint) loaded() (n note, err error) {
	text, err := os.ReadFile(e.o.Note)
	if errors.Is(err, fs.ErrNotExist) {
		return note{}, nil
	}
	if err != nil {
		return note{}, fmt.Errorf("read what was loaded last: %w", err)
	}
	if err := json.Unmarshal(text, &n); err != nil {
		return note{}, nil
	}
	return n, nil
}

func sum(content []byte) string {
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:])
}

// Set implements endpoint.Endpoint. Nothing is reloaded that has been loaded.
func (e *Endpoint) Set(ctx context.Context, target endpoint.Target) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := e.guard.Pass(e.name, target.Epoch); err != nil {
		return err
	}
	value := endpoint.ValueOf(e.o.Cluster, target)
	encoded, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode the value: %w", err)
	}
	data := render.Among(e.o.Servers, e.o.Cluster, target.Epoch, render.Server{Node: target.Node, Address: value.Address, Port: target.Port}, target.Planned)
	data.Value = string(encoded)
	text, err := e.text.Text(data)
	if err != nil {
		return fmt.Errorf("render %s: %w", e.o.File, err)
	}
	want := note{target.Epoch, target.Node, sum([]byte(text))}
	before, err := e.current()
	if err != nil {
		return err
	}
	have, err := e.loaded()
	if err != nil {
		return err
	}
	if before.is([]byte(text)) && have.Sum == want.Sum {
		if have == want {
			return nil
		}
		return e.remember(want)
	}
	if before, err = e.fromAside(before, have); err != nil {
		return err
	}
	if err := e.replace(ctx, before, []byte(text), e.environment(target)); err != nil {
		return err
	}
	return e.remember(want)
}

// environment is what commands are told.
func (e *Endpoint) environment(target endpoint.Target) []string {
	return []string{"BATON_ENDPOINT=" + e.name, "BATON_CLUSTER=" + e.o.Cluster, "BATON_FILE=" + e.o.File,
		"BATON_PRIMARY=" + string(target.Node), fmt.Sprintf("BATON_EPOCH=%d", target.Epoch)}
}

// kept is a file as it was.
type kept struct {
	there   bool
	content []byte
}

func (k kept) is(content []byte) bool { return k.there && bytes.Equal(k.content, content) }

func (e *Endpoint) current() (kept, error) {
	content, err := os.ReadFile(e.o.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return kept{}, nil
	case err != nil:
		return kept{}, err
	}
	return kept{true, content}, nil
}

// replace puts new content in place and has it loaded. If that is refused, what was
// there before comes back, and is loaded again if the new one may have been.
func (e *Endpoint) replace(ctx context.Context, before kept, content []byte, env []string) error {
	if err := e.setAside(before, content); err != nil {
		return err
	}
	if err := e.write(e.o.File, content); err != nil {
		return err
	}
	err := e.run(ctx, "check", e.o.Check, env)
	again := false
	if err == nil {
		err = e.load(ctx, "reload", env, false)
		again = err != nil
	}
	if err == nil {
		e.forgetAside() // it counts no more, whether it is noted what was loaded or not
		return nil
	}
	back := e.restore(before)
	if back == nil {
		e.forgetAside()
	}
	if back == nil && again && before.there {
		// Also if ctx is over: what was there has to be served.
		back = e.load(context.WithoutCancel(ctx), "reload what was there before", env, true)
	}
	if back != nil {
		return fmt.Errorf("%w; and then: %w", err, back)
	}
	return fmt.Errorf("%w; what was there before is back", err)
}

func (e *Endpoint) load(ctx context.Context, what string, env []string, back bool) error {
	if e.o.Load == nil {
		return e.run(ctx, what, e.o.Reload, env)
	}
	ctx, cancel := context.WithTimeout(ctx, e.o.Limit)
	defer cancel()
	if err := e.o.Load(ctx, back); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (e *Endpoint) restore(before kept) error {
	if before.there {
		return e.write(e.o.File, before.content)
	}
	if err := os.Remove(e.o.File); err != nil {
		return fmt.Errorf("take %s away again: %w", e.o.File, err)
	}
	return nil
}

func (e *Endpoint) run(ctx context.Context, what string, args, env []string) error {
	if len(args) == 0 {
		return nil
	}
	if _, err := (command.Command{Args: args, Env: env, Limit: e.o.Limit}).Run(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// remember notes what was loaded.
func (e *Endpoint) remember(n note) error {
	if err := keep(e.o.Note, n); err != nil {
		return fmt.Errorf("note what was loaded: %w", err)
	}
	return nil
}

// keep writes something to a file of Baton's own, in a directory of its own.
func keep(path string, what any) error {
	text, err := json.Marshal(what)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err != nil {
		return err
	}
	return swap(path, append(text, '\n'), 0o600, -1, -1)
}

// write replaces the file in one step: whoever reads it sees the one or the other.
func (e *Endpoint) write(path string, content []byte) error {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to // the link stays
	}
	return swap(path, content, e.o.Mode, e.o.UID, e.o.GID)
}

func swap(path string, content []byte, mode os.FileMode, uid, gid int) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".baton-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil && (uid >= 0 || gid >= 0) {
		err = f.Chown(uid, gid)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
