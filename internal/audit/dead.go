package audit

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/baton-db/baton/internal/core/gtid"
)

// The logs of a server that does not run: nobody can be asked for them, and its
// next start may take transactions off their end (crash recovery).

// LogsBeside lists the binary logs of the server that one of its logs is named
// of, oldest first: files of the same name with another number. It asks nobody,
// so that it serves while the server is dead.
func LogsBeside(log string) ([]string, error) {
	base, _, ok := numbered(log)
	if !ok {
		return nil, fmt.Errorf("list the binary logs beside %s: its name has no number", log)
	}
	entries, err := os.ReadDir(filepath.Dir(log))
	if err != nil {
		return nil, fmt.Errorf("list the binary logs beside %s: %w", log, err)
	}
	numbers := map[string]uint64{}
	var logs []string
	for _, e := range entries {
		path := filepath.Join(filepath.Dir(log), e.Name())
		if b, n, ok := numbered(path); ok && b == base && e.Type().IsRegular() {
			numbers[path] = n
			logs = append(logs, path)
		}
	}
	slices.SortFunc(logs, func(a, b string) int { return cmp.Compare(numbers[a], numbers[b]) })
	return logs, nil
}

// Kept lists the binary logs that an audit kept in its directory, oldest first.
func Kept(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, EvidenceDir))
	if err != nil {
		return nil, fmt.Errorf("find the logs that the audit kept: %w", err)
	}
	for _, e := range entries {
		if log := filepath.Join(dir, EvidenceDir, e.Name()); !strings.HasPrefix(e.Name(), ".") {
			if _, _, ok := numbered(log); ok {
				return LogsBeside(log)
			}
		}
	}
	return nil, nil // there was none
}

// numbered splits binlog.000042 into what comes before the last dot and 42.
func numbered(path string) (base string, n uint64, ok bool) {
	ext := filepath.Ext(path)
	n, err := strconv.ParseUint(strings.TrimPrefix(ext, "."), 10, 64)
	return strings.TrimSuffix(path, ext), n, err == nil && len(ext) >= 7
}

// Beyond returns those of the job's logs that can hold a transaction which held
// lacks. known is false if even the oldest begins after some of them.
func (j Job) Beyond(ctx context.Context, held gtid.Set) (files []string, known bool, err error) {
	for i := len(j.Files) - 1; i >= 0; i-- {
		before, said, err := j.before(ctx, j.Files[i])
		if err != nil {
			return nil, false, err
		}
		if said && held.Contains(before) {
			return j.Files[i:], true, nil
		}
	}
	return j.Files, false, nil
}

// Logged is what logs hold besides what was asked to be left out.
type Logged struct {
	Whole gtid.Set // transactions that are there to their end
	Count int
	// Complaints are what the decoder had to say: a log that was cut off by a
	// crash, or is damaged.
	Complaints []string
}

// Logged reads which whole transactions the job's logs hold beyond held. A
// transaction whose end is not there was committed nowhere.
func (j Job) Logged(ctx context.Context, held gtid.Set) (l Logged, err error) {
	j.headsOnly = true
	var now *transaction
	end := func() {
		if now != nil && now.complete() && !now.rolledBack {
			l.Whole = l.Whole.Union(now.set)
			l.Count++
		}
		now = nil
	}
	visit := func(item any) error {
		switch item := item.(type) {
		case begin:
			end()
			if set, err := gtid.ParseTransaction(item.id); err == nil && !held.Contains(set) {
				now = &transaction{id: item.id, set: set}
			}
		case opened:
			if now != nil {
				now.begun = true
			}
		case statement:
			if now != nil {
				now.statements++
			}
		case commit:
			if now != nil {
				now.ended, now.rolledBack = true, item.rolledBack
			}
		}
		return nil
	}
	for _, f := range j.Files {
		complaint, err := j.decode(ctx, f, &parser{wanted: func() bool { return false }, visit: visit})
		if err != nil {
			return l, fmt.Errorf("read which transactions %s holds: %w", f, err)
		}
		if complaint != "" {
			l.Complaints = append(l.Complaints, complaint)
		}
		end() // none goes on in the next file
	}
	return l, nil
}
