package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/gtid"
)

// errEnough ends a reading that has found what it wanted.
var errEnough = errors.New("enough has been read")

// decode runs the program over one file and reads what it prints. What the
// program complains of is returned as text: a log that ends too early is no
// error of ours.
func (j Job) decode(ctx context.Context, file string, p *parser) (complaint string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	scratch, err := os.MkdirTemp("", "baton-audit-") // where the program unpacks what LOAD DATA brought
	if err != nil {
		return "", fmt.Errorf("decode %s: %w", file, err)
	}
	defer os.RemoveAll(scratch)
	args := []string{"--no-defaults", "--verify-binlog-checksum", "--base64-output=decode-rows", "--local-load=" + scratch}
	if !j.headsOnly {
		args = append(args, "-vv")
	}
	cmd := exec.CommandContext(ctx, j.Program, append(args, file)...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	cmd.WaitDelay = time.Second
	said := &tail{most: 4 << 10}
	cmd.Stderr = said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", fmt.Errorf("decode %s: %w", file, err)
	}
	start := j.Start
	if start == nil {
		start = (*exec.Cmd).Start
	}
	if err := start(cmd); err != nil {
		return "", fmt.Errorf("run %s: %w", j.Program, err)
	}
	p.in, p.flavor = newLines(out), j.Flavor
	parsing := p.parse()
	if parsing != nil {
		cancel() // it would go on printing
	}
	_, _ = io.Copy(io.Discard, out)
	ended := cmd.Wait()
	switch {
	case parsing != nil:
		return "", parsing
	case ctx.Err() != nil:
		return "", ctx.Err()
	case ended != nil:
		var exit *exec.ExitError
		if !errors.As(ended, &exit) {
			return "", fmt.Errorf("decode %s: %w", file, ended)
		}
		return fmt.Sprintf("%s on %s: %v: %s", j.Program, file, ended, said), nil
	}
	return "", nil
}

// tail keeps the beginning of what is written to it, which names the cause.
type tail struct {
	bytes.Buffer
	most int
}

func (t *tail) Write(b []byte) (int, error) {
	if room := t.most - t.Len(); room > 0 {
		t.Buffer.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}

func (t *tail) String() string { return strings.Join(strings.Fields(t.Buffer.String()), " ") }

// relevant returns the files that can hold any of the wanted transactions: a
// log begins by saying what had been logged before it.
func (j Job) relevant(ctx context.Context) (files, notes []string, err error) {
	for i := len(j.Files) - 1; i >= 0; i-- {
		before, known, err := j.before(ctx, j.Files[i])
		if err != nil {
			return nil, nil, err
		}
		if known && j.Want.Subtract(before).Equal(j.Want) {
			return j.Files[i:], nil, nil
		}
	}
	if len(j.Files) > 0 {
		notes = append(notes, fmt.Sprintf("the oldest binary log there is, %s, begins after some of them: they may be gone", j.Files[0]))
	}
	return j.Files, notes, nil
}

// before reads what had been logged before a file. It is not known of one whose
// beginning cannot be read.
func (j Job) before(ctx context.Context, file string) (set gtid.Set, known bool, err error) {
	j.headsOnly = true
	var said string
	p := &parser{wanted: func() bool { return false }, visit: func(item any) error {
		switch item := item.(type) {
		case list:
			said, known = item.gtids, true
			return errEnough
		case begin:
			return errEnough
		}
		return nil
	}}
	if _, err := j.decode(ctx, file, p); err != nil && !errors.Is(err, errEnough) {
		return gtid.Set{}, false, err
	}
	if !known {
		return gtid.Set{}, false, nil
	}
	set, err = gtid.Parse(said)
	if err != nil {
		return gtid.Set{}, false, nil // says nothing: older files are read, too
	}
	return set, true, nil
}
