package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/audit"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// deadLogs keeps what the binary log of a primary held when its server died: the
// crash recovery of its next start may take transactions off the log's end, and
// nobody could say afterwards what they had been. Once it is known what the server
// came back with and what the new primary has, the dropped ones are written down
// like any that only one server has; a copy that held nothing else is removed.
type deadLogs struct {
	dir     string // of the copies, in the agent's state
	auditor *auditor
	limit   func() int64 // bytes of one copy; 0: none is made
	log     *slog.Logger
	found   func(detail string) // what recovery dropped, for people

	wake chan struct{}
	mu   sync.Mutex
	kept map[string]bool // lives of the server whose log was copied, or could not be
	now  lifeSign
	// after is what the server had when it was first seen in its present life.
	after  gtid.Set
	afterL string // that life
}

// lifeSign is what the loop knows whenever it looks.
type lifeSign struct {
	divergence
	up     bool
	life   string   // of the server, as it was seen last
	held   gtid.Set // by this server
	source cluster.NodeName

	self    cluster.NodeName
	settled bool // the record is steady, and its primary serves
	// others is what each of those holds that this server's log is compared with:
	// the primary, or all replicas while there is none.
	others []gtid.Set
}

// keptLog is what is noted of a copy.
type keptLog struct {
	At    string           `json:"at"` // RFC 3339
	Node  cluster.NodeName `json:"node"`
	Life  string           `json:"life"` // of the server that died
	Reign reign            `json:"reign"`
	Logs  []string         `json:"logs,omitempty"` // names in the copy's directory
	Notes []string         `json:"notes,omitempty"`
	// After is what the server had when it came back.
	After gtid.Set `json:"after,omitzero"`
}

const (
	keptFile     = "kept.json"
	whereFile    = "where.json"
	keepingLimit = 30 * time.Second // the start of the server waits for the copy
	mostKeptLogs = 3                // that nobody could judge yet
	judgeAgain   = 30 * time.Second
)

// look takes in how things are. It never waits.
func (d *deadLogs) look(s lifeSign) {
	d.mu.Lock()
	news := s.up != d.now.up || s.life != d.now.life || s.settled != d.now.settled
	d.now = s
	if s.up && s.life != "" && s.life != d.afterL {
		d.after, d.afterL = s.held, s.life
	}
	d.mu.Unlock()
	if news {
		signal(d.wake)
	}
}

// has reports whether the log of a life of the server was looked after.
func (d *deadLogs) has(life string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.kept[life]
}

func (d *deadLogs) lookedAfter(life string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept[life] = true
}

// load remembers what an agent before this one kept.
func (d *deadLogs) load() error {
	all, err := d.copies()
	for _, k := range all {
		d.kept[k.Life] = true
	}
	return err
}

func (d *deadLogs) seen() (s lifeSign, after gtid.Set, afterLife string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now, d.after, d.afterL
}

func (d *deadLogs) run(ctx context.Context) {
	d.tell()
	again := time.NewTicker(judgeAgain)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		case <-again.C:
		}
		if err := d.turn(ctx); err != nil && ctx.Err() == nil {
			d.log.Warn("look after what the log of a dead server held", "err", err)
		}
	}
}

func (d *deadLogs) turn(ctx context.Context) error {
	s, after, life := d.seen()
	if !s.up {
		return nil
	}
	if err := d.noteWhere(ctx, s.life); err != nil {
		return err
	}
	all, err := d.copies()
	for dir, k := range all {
		if s.life == k.Life || life != s.life {
			continue // it has not come back yet
		}
		if k.After.IsZero() {
			k.After = after
			if err := d.save(dir, k); err != nil {
				return err
			}
		}
		if s.settled {
			err = errors.Join(err, d.judge(ctx, s, dir, k))
		}
	}
	d.tell()
	return err
}

// logsAt says where the logs of a server are while it does not run.
type logsAt struct {
	Life string `json:"life"`
	Log  string `json:"log"` // one of them
}

// noteWhere asks a living server where its binary logs are: a dead one answers
// nobody.
func (d *deadLogs) noteWhere(ctx context.Context, life string) error {
	if at, err := d.where(); err == nil && at.Life == life {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, listing)
	defer cancel()
	files, err := d.auditor.database.BinaryLogs(ctx)
	if err != nil || len(files) == 0 {
		return err
	}
	b, err := json.Marshal(logsAt{Life: life, Log: files[len(files)-1]})
	if err == nil {
		err = errors.Join(os.MkdirAll(d.dir, 0o700), writeWhole(filepath.Join(d.dir, whereFile), b))
	}
	if err != nil {
		return fmt.Errorf("note where the binary logs are: %w", err)
	}
	return nil
}

func (d *deadLogs) where() (at logsAt, err error) {
	b, err := os.ReadFile(filepath.Join(d.dir, whereFile))
	if err == nil {
		err = json.Unmarshal(b, &at)
	}
	return at, err
}

// keep copies what the log of a primary that died holds and the others lack,
// before the server is started. Without room, or in want of time, the server is
// started all the same, and it is said that the evidence may be gone.
func (d *deadLogs) keep(ctx context.Context) {
	s, _, _ := d.seen()
	r := s.reign
	died := r.Epoch != 0 && r.Life != "" && (s.life == "" || s.life == r.Life) && (r.Ended.IsZero() || s.source == "")
	limit := d.limit()
	if !died || d.has(r.Life) { // or this is not the first attempt to start it
		return
	}
	if limit == 0 {
		d.lookedAfter(r.Life)
		return
	}
	dir := filepath.Join(d.dir, fmt.Sprintf("%d-%s", r.Epoch, safeName(r.Life)))
	begun := time.Now()
	k := keptLog{At: begun.UTC().Format(time.RFC3339), Node: s.self, Life: r.Life, Reign: r}
	call, cancel := context.WithTimeout(ctx, keepingLimit)
	defer cancel()
	kept, notes, err := d.copyEnd(call, s, dir, limit)
	if ctx.Err() != nil {
		return // the start was called off: tried again with it
	}
	for _, log := range kept {
		k.Logs = append(k.Logs, filepath.Base(log))
	}
	if k.Notes = notes; err != nil {
		k.Notes = append(k.Notes, "what the log held when the server died could not be kept: "+err.Error())
	}
	if err := d.save(dir, k); err != nil {
		d.log.Error("note what the log of the dead server held", "err", err)
	}
	d.lookedAfter(r.Life)
	d.log.Warn("a primary's server died: the end of its binary log is kept before it is started", "directory", dir, "logs", k.Logs, "notes", k.Notes, "took", time.Since(begun))
}

func (d *deadLogs) copyEnd(ctx context.Context, s lifeSign, dir string, limit int64) (kept, notes []string, err error) {
	if err := errors.Join(os.RemoveAll(dir), d.makeRoom()); err != nil {
		return nil, nil, err
	}
	at, err := d.where()
	if err != nil {
		return nil, nil, fmt.Errorf("find its binary logs: %w", err)
	}
	logs, err := audit.LogsBeside(at.Log)
	if err != nil {
		return nil, nil, err
	}
	job := audit.Job{Program: d.auditor.program, Flavor: d.auditor.flavor, Files: logs}
	from := len(logs) - 1
	for _, held := range s.others {
		files, known, err := job.Beyond(ctx, held)
		if err != nil {
			return nil, nil, err
		}
		if known {
			from = min(from, len(logs)-len(files))
		}
	}
	if from < 0 {
		return nil, nil, errors.New("there is none")
	}
	return audit.KeepTail(ctx, logs[from:], dir, limit)
}

// makeRoom removes the oldest copies: judged ones are gone already.
func (d *deadLogs) makeRoom() error {
	all, err := d.copies()
	for len(all) >= mostKeptLogs {
		oldest := ""
		for dir, k := range all {
			if oldest == "" || k.At < all[oldest].At {
				oldest = dir
			}
		}
		d.log.Warn("the end of a dead server's log that nobody could judge is removed", "directory", oldest)
		err = errors.Join(err, os.RemoveAll(oldest))
		delete(all, oldest)
	}
	return err
}

// copies are the logs that are kept and not judged yet, by their directory.
func (d *deadLogs) copies() (map[string]keptLog, error) {
	entries, err := os.ReadDir(d.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the kept logs: %w", err)
	}
	all := map[string]keptLog{}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		dir := filepath.Join(d.dir, e.Name())
		b, err := os.ReadFile(filepath.Join(dir, keptFile))
		var k keptLog
		if err == nil {
			err = json.Unmarshal(b, &k)
		}
		if err == nil {
			all[dir] = k
		}
	}
	return all, nil
}

func (d *deadLogs) save(dir string, k keptLog) error {
	b, err := json.MarshalIndent(k, "", "  ")
	if err == nil {
		err = errors.Join(os.MkdirAll(dir, 0o700), writeWhole(filepath.Join(dir, keptFile), append(b, '\n')))
	}
	return err
}

// judge finds out what crash recovery dropped: what the log held, and neither the
// server that came back nor the primary has.
func (d *deadLogs) judge(ctx context.Context, s lifeSign, dir string, k keptLog) error {
	job := audit.Job{Program: d.auditor.program, Flavor: d.auditor.flavor, Start: startQuietly, Dropped: true, Notes: k.Notes,
		Cluster: d.auditor.cluster, Node: k.Node, Primary: s.primary, Epoch: s.epoch, At: time.Now(), Columns: d.auditor.columns}
	for _, name := range k.Logs {
		job.Files = append(job.Files, filepath.Join(dir, filepath.Base(name)))
	}
	held := k.After
	if s.primary != s.self {
		for _, other := range s.others {
			held = held.Union(other)
		}
	}
	logged, err := job.Logged(ctx, held)
	if err != nil {
		return err
	}
	if logged.Whole.IsZero() {
		d.log.Info("the server came back with all that its log held, or the primary has it", "kept", dir, "notes", k.Notes)
		return os.RemoveAll(dir)
	}
	job.Want = logged.Whole
	told := s.divergence
	told.reign = k.Reign
	told.reign.Ended = told.reign.Ended.Union(logged.Whole) // all of it was written in that reign
	job.Acknowledged, job.AckWhy = told.acknowledged()
	to := freeDir(d.auditor.dir, s.epoch)
	sum, err := audit.Run(ctx, job, to)
	if err != nil {
		return err
	}
	d.log.Warn("crash recovery dropped transactions that the primary lacks; they are written down", "gtids", job.Want.String(), "what", sum.Headline(),
		"acknowledged", sum.Acknowledged(), "directory", to)
	if err := os.RemoveAll(dir); err != nil { // the audit has the logs
		return err
	}
	_, err = d.auditor.compare(ctx, s.primary, lostOf{errant: job.Want, dir: to, sum: sum})
	return err
}

// tell says what recovery dropped here, for as long as it is written down.
func (d *deadLogs) tell() {
	all, err := audits(d.auditor.dir)
	if err != nil {
		d.log.Warn("list what recovery dropped", "err", err)
		return
	}
	var detail string
	for _, l := range all {
		if l.sum.Dropped && l.sum.Node == d.auditor.node {
			detail = fmt.Sprintf("%s: %s; see %s", l.sum.Errant, l.sum.Headline(), filepath.Join(l.dir, audit.ReportFile))
			break // the newest
		}
	}
	d.found(detail)
}

// note is what an audit has to say of a server that came back before its agent
// could keep the end of its log.
func (r reign) note() []string {
	if !r.Unkept {
		return nil
	}
	return []string{"this server was started again, by something else than its agent, before the end of its binary log could be copied: if it had crashed, what its recovery dropped is not known"}
}

// safeName is a text as part of a file's name.
func safeName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, s)
}
