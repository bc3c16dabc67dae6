package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// mostInverse bounds one BINLOG statement. A server takes no more than its
// max_allowed_packet anyhow.
const mostInverse = 256 << 20

// Inverse hands over the statements that undo the transactions which an audit
// found, the last one first: BINLOG statements with row events, made by
// mariadb-binlog --flashback. Nothing may follow the transactions in the log, as
// Undo.InTheWay says.
func (j Job) Inverse(ctx context.Context, u Undo, do func(statement string) error) error {
	first := slices.IndexFunc(j.Files, func(f string) bool { return filepath.Base(f) == u.File })
	switch {
	case j.Flavor != MariaDB:
		return errors.New("undo transactions: MySQL has no way to")
	case u.InTheWay != "":
		return fmt.Errorf("undo transactions: %s", u.InTheWay)
	case first < 0:
		return fmt.Errorf("undo transactions: the log %s, in which they begin, is not there any more", u.File)
	}
	args := append([]string{"--no-defaults", "--verify-binlog-checksum", "--flashback", fmt.Sprintf("--start-position=%d", u.Position)}, j.Files[first:]...)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, j.Program, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	cmd.WaitDelay = time.Second
	said := &tail{most: 4 << 10}
	cmd.Stderr = said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("run %s: %w", j.Program, err)
	}
	start := j.Start
	if start == nil {
		start = (*exec.Cmd).Start
	}
	if err := start(cmd); err != nil {
		return fmt.Errorf("run %s: %w", j.Program, err)
	}
	doing := inverses(out, do)
	if doing != nil {
		cancel()
	}
	_, _ = io.Copy(io.Discard, out)
	ended := cmd.Wait()
	switch {
	case doing != nil:
		return doing
	case ended != nil:
		return fmt.Errorf("%s --flashback: %w: %s", j.Program, ended, said)
	}
	return nil
}

// inverses picks the BINLOG statements out of what the program prints. They are
// all that changes anything: what stands between them are settings and the
// boundaries of transactions.
func inverses(r io.Reader, do func(string) error) error {
	in := newLines(r)
	in.most = mostInverse
	var statement bytes.Buffer
	for {
		line, cut, err := in.next()
		if errors.Is(err, io.EOF) {
			if statement.Len() > 0 {
				return errors.New("read the row events to undo: the last one does not end")
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the row events to undo: %w", err)
		}
		switch {
		case statement.Len() == 0 && !bytes.HasPrefix(line, []byte("BINLOG '")):
			if bytes.HasPrefix(line, []byte("BINLOG ")) || bytes.HasPrefix(line, []byte("SET @binlog_fragment")) {
				return errors.New("a row event is too big for one statement (max_allowed_packet)")
			}
			continue
		case cut || statement.Len()+len(line) > mostInverse:
			return fmt.Errorf("a row event has more than %d MiB", mostInverse>>20)
		}
		if end, ok := bytes.CutSuffix(line, []byte("/*!*/;")); ok {
			statement.Write(end)
			if err := do(statement.String()); err != nil {
				return err
			}
			statement.Reset()
			continue
		}
		statement.Write(line)
		statement.WriteByte('\n')
	}
}
