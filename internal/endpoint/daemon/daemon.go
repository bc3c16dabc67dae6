// Package daemon answers whether a program of this host runs, and whether it has read
// a file that was put in place for it: it has if it began afterwards.
//
// It starts, stops and signals nothing. The rule: a number in a file of somebody else's
// is no process until that process is seen to be the program that is meant.
package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/clock"
)

// Process is one that runs.
type Process struct {
	PID  int
	Name string   // as the kernel has it, 15 bytes at most
	Args []string // with which it was started, or what it has written over them
}

// ErrNotRunning says that there is no such process.
var ErrNotRunning = errors.New("does not run")

// Find returns the process whose number stands in a file, if it is the program that is
// meant. A number that has become another program's is not taken for it.
func Find(what, pidFile string, is func(Process) bool) (Process, error) {
	text, err := os.ReadFile(pidFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Process{}, fmt.Errorf("%s %w: there is no %s", what, ErrNotRunning, pidFile)
	}
	if err != nil {
		return Process{}, fmt.Errorf("find %s: %w", what, err)
	}
	word := strings.TrimSpace(string(text))
	if word == "" { // `nginx -t` makes such a file where none runs
		return Process{}, fmt.Errorf("%s %w: %s is empty", what, ErrNotRunning, pidFile)
	}
	pid, err := strconv.Atoi(word)
	if err != nil || pid <= 1 {
		return Process{}, fmt.Errorf("find %s: %s holds %q, which is no process", what, pidFile, word)
	}
	p, err := look(pid)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Process{}, fmt.Errorf("%s %w: process %d of %s is gone", what, ErrNotRunning, pid, pidFile)
	case err != nil:
		return Process{}, fmt.Errorf("find %s: %w", what, err)
	case !is(p):
		return Process{}, fmt.Errorf("%s %w: process %d of %s is %s", what, ErrNotRunning, pid, pidFile, p.Name)
	}
	return p, nil
}

func look(pid int) (Process, error) {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return Process{}, err
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return Process{}, err
	}
	return Process{pid, strings.TrimSpace(string(name)), strings.Split(strings.TrimRight(string(args), "\x00"), "\x00")}, nil
}

// BeganAt is when a process began, in ticks after boot: field 22 of proc(5)'s stat.
func BeganAt(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	fields := strings.Fields(string(after))
	const startTime = 22 - 3 // the first of these is field 3
	if len(fields) <= startTime {
		return 0, fmt.Errorf("process %d: its stat is short", pid)
	}
	return strconv.ParseUint(fields[startTime], 10, 64)
}

// perSecond are the ticks in which the kernel tells when a process began (USER_HZ).
const perSecond = 100

// Ticks is now, as BeganAt counts.
func Ticks() uint64 { return uint64(time.Duration(clock.Now()) / (time.Second / perSecond)) }

// NextTick returns once a process that begins is told from one that began at since.
func NextTick(ctx context.Context, since uint64) error {
	return Await(ctx, func() (bool, error) { return Ticks() > since, nil })
}

// lookEvery is how often it is looked for what is awaited.
const lookEvery = 2 * time.Millisecond

// Await looks again and again until it is so, or fails, or ctx ends.
func Await(ctx context.Context, so func() (bool, error)) error {
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for {
		if done, err := so(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
		}
	}
}

// Placed is a note on the disk of since when a file is what it is.
type Placed struct{ File string }

// Beside is the note that belongs to the note of what was loaded last.
func Beside(note string) Placed {
	return Placed{strings.TrimSuffix(note, filepath.Ext(note)) + "-loaded" + filepath.Ext(note)}
}

// inPlace is what stands in it.
type inPlace struct {
	Boot  string `json:"boot"`
	Ticks uint64 `json:"ticks"` // after that boot
}

// Write notes before a daemon is told that what it loads after this is the new file.
func (p Placed) Write(since uint64) error {
	text, err := json.Marshal(inPlace{bootID(), since})
	if err == nil {
		err = os.MkdirAll(filepath.Dir(p.File), 0o700)
	}
	if err == nil {
		err = os.WriteFile(p.File, append(text, '\n'), 0o600) // a torn one counts as just now
	}
	if err != nil {
		return fmt.Errorf("note since when the file is in place: %w", err)
	}
	return nil
}

// Since is the moment after which whoever has read the file must have begun; 0 where
// all have, because the host was started since, or none ran.
func (p Placed) Since() (uint64, error) {
	text, err := os.ReadFile(p.File)
	var n inPlace
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil // the file's own note is of a daemon that did not run
	case err != nil:
		return 0, fmt.Errorf("read since when the file is in place: %w", err)
	case json.Unmarshal(text, &n) != nil:
		return Ticks(), nil
	case n.Boot != bootID():
		return 0, nil
	}
	return n.Ticks, nil
}

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
