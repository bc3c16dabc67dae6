package datadir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Tool are MariaDB's own programs for copies of a running server.
type Tool struct {
	Backup string // mariadb-backup
	Unpack string // mbstream
	// Start starts a program; nil: as any other.
	Start func(*exec.Cmd) error
}

// FindTool finds the programs on the PATH.
func FindTool(start func(*exec.Cmd) error) (Tool, error) {
	t := Tool{Start: start}
	var err error
	for _, name := range []string{"mariadb-backup", "mariabackup"} {
		if t.Backup, err = exec.LookPath(name); err == nil {
			break
		}
	}
	if err != nil {
		return t, errors.New("there is no mariadb-backup on the PATH: install the package mariadb-backup, of the server's version")
	}
	if t.Unpack, err = exec.LookPath("mbstream"); err != nil {
		return t, errors.New("there is no mbstream on the PATH: it comes with the package mariadb-backup")
	}
	return t, nil
}

// Login is how the backup reaches the server on this host.
type Login struct{ Socket, User, Password string }

// Send writes a copy of the running server's data to w, in the format of
// mbstream. scratch is a directory for its own use.
func (t Tool) Send(ctx context.Context, l Login, scratch string, w io.Writer) error {
	if err := os.RemoveAll(scratch); err != nil {
		return fmt.Errorf("make room for the backup's own files: %w", err)
	}
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return fmt.Errorf("make room for the backup's own files: %w", err)
	}
	defer os.RemoveAll(scratch)
	options := filepath.Join(scratch, "login.cnf") // a password has no place on a command line
	text := fmt.Sprintf("[mariadb-backup]\nsocket=%q\nuser=%q\npassword=%q\n", l.Socket, l.User, l.Password)
	if err := os.WriteFile(options, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the backup's login: %w", err)
	}
	target := filepath.Join(scratch, "target")
	cmd := exec.CommandContext(ctx, t.Backup, "--defaults-file="+options, "--backup", "--stream=xbstream", "--target-dir="+target, "--tmpdir="+scratch)
	cmd.Stdout = w
	return t.run(cmd, "copy the data with mariadb-backup")
}

// Receive unpacks what Send wrote into dir.
func (t Tool) Receive(ctx context.Context, r io.Reader, dir string) error {
	cmd := exec.CommandContext(ctx, t.Unpack, "-x", "-C", dir)
	// The program's own end of input would hide how the stream ended.
	in := &watched{from: r}
	cmd.Stdin = in
	err := t.run(cmd, "unpack the copy with mbstream")
	if in.failed != nil {
		return in.failed
	}
	if err == nil && !in.ended {
		_, err = io.Copy(io.Discard, in) // it has all; the sender's word on it is still to come
		err = errors.Join(in.failed, err)
	}
	return err
}

// watched keeps how a stream ended.
type watched struct {
	from   io.Reader
	failed error
	ended  bool
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.from.Read(b)
	switch {
	case errors.Is(err, io.EOF):
		w.ended = true
	case err != nil:
		w.failed = err
	}
	return n, err
}

// Prepare makes the unpacked copy one that a server can start from, and returns
// the GTID that it stands at.
func (t Tool) Prepare(ctx context.Context, dir string) (gtid string, err error) {
	cmd := exec.CommandContext(ctx, t.Backup, "--no-defaults", "--prepare", "--target-dir="+dir)
	if err := t.run(cmd, "prepare the copy with mariadb-backup"); err != nil {
		return "", err
	}
	return standsAt(dir)
}

// standsAt reads the position that the backup noted: file, offset and GTID,
// separated by tabs. The file was renamed in MariaDB 11.1.
func standsAt(dir string) (string, error) {
	var b []byte
	err := fs.ErrNotExist
	for _, name := range []string{"mariadb_backup_binlog_info", "xtrabackup_binlog_info"} {
		if errors.Is(err, fs.ErrNotExist) {
			b, err = os.ReadFile(filepath.Join(dir, name))
		}
	}
	if err != nil {
		return "", fmt.Errorf("read which position the copy stands at: %w", err)
	}
	fields := strings.Split(strings.TrimSpace(string(b)), "\t")
	if len(fields) < 3 || fields[2] == "" {
		return "", fmt.Errorf("read which position the copy stands at: there is no GTID in %q", b)
	}
	return strings.Join(strings.Fields(fields[2]), ""), nil
}

// run runs a program. What it said last tells why it failed.
func (t Tool) run(cmd *exec.Cmd, what string) error {
	var said tail
	cmd.Stderr = &said
	if cmd.Stdout == nil {
		cmd.Stdout = &said
	}
	start := t.Start
	if start == nil {
		start = (*exec.Cmd).Start
	}
	err := start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", what, err, said.words())
	}
	return nil
}

// tail keeps the last bytes that are written to it.
type tail struct{ b []byte }

const tailKept = 2000

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b...)
	if len(t.b) > 2*tailKept {
		t.b = append(t.b[:0], t.b[len(t.b)-tailKept:]...)
	}
	return len(b), nil
}

// words are the last lines that speak of an error, or else the last one.
func (t *tail) words() string {
	lines := bytes.Split(bytes.TrimSpace(t.b), []byte("\n"))
	var told []string
	for _, l := range lines {
		if bytes.Contains(bytes.ToLower(l), []byte("error")) {
			told = append(told, string(bytes.TrimSpace(l)))
		}
	}
	if len(told) == 0 {
		told = []string{string(lines[len(lines)-1])}
	}
	return strings.Join(told[max(0, len(told)-3):], "; ")
}
