package lab

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/baton-db/baton/internal/lab/network"
	"github.com/baton-db/baton/internal/lab/process"
)

// uselessFaults leave the server alive and of little use, or only look as if
// they did.
func uselessFaults() []Fault {
	const memory, cpu = "memory", "cpu"
	return []Fault{
		{Name: "disk-full", Moves: true, Disk: true, Help: "the disk of the server's data is full",
			inject: (*Lab).fillDisk, heal: (*Lab).freeDisk},
		{Name: "disk-read-only", Moves: true, Disk: true, Help: "the kernel finds an error on the disk of the server's data and turns it read-only",
			inject: (*Lab).breakDisk, heal: (*Lab).repairDisk},
		{Name: "disk-stall", Moves: true, Disk: true, Help: "writes to the disk of the server's data do not come back (fsfreeze)",
			inject: (*Lab).freezeDisk, heal: func(l *Lab, ctx context.Context, h string) error {
				return errors.Join(l.thawDisk(ctx, h), l.StartServer(ctx, h))
			}},
		{Name: "out-of-memory", Moves: true, Cgroup: memory, Help: "the kernel kills the server for want of memory (a control group's)",
			inject: (*Lab).starveOfMemory, heal: func(l *Lab, ctx context.Context, h string) error {
				return errors.Join(l.cgroup(memory, h).remove(ctx), l.StartServer(ctx, h))
			}},
		{Name: "backup-lock", Stops: true, Help: "a backup holds FLUSH TABLES WITH READ LOCK",
			inject: (*Lab).lockForBackup, heal: (*Lab).letGo},
		{Name: "metadata-lock", Stops: true, Help: "all writes queue up behind LOCK TABLES, which waits for a forgotten transaction",
			inject: (*Lab).pileUp, heal: (*Lab).letGo},
		{Name: "connections", Help: "somebody takes every connection that the server has left",
			inject: (*Lab).takeConnections, heal: (*Lab).letGo},
		{Name: "busy", Help: "the host's processors are busy with something else",
			inject: (*Lab).burn, heal: (*Lab).stopBurning},
		{Name: "throttle", Cgroup: cpu, Help: "the server gets a tenth of a processor (a control group's)",
			inject: (*Lab).throttle, heal: func(l *Lab, ctx context.Context, h string) error { return l.cgroup(cpu, h).remove(ctx) }},
		{Name: "blip", Help: "the switch's port of the host goes down for a fifth of the lease",
			inject: (*Lab).blip, heal: (*Lab).portUp},
		{Name: "clock-ahead", Help: "the wall clock of the host's agent jumps ahead by an hour",
			inject: func(l *Lab, _ context.Context, h string) error { return l.JumpClock(h, time.Hour) }, heal: (*Lab).setClock},
		{Name: "clock-behind", Help: "the wall clock of the host's agent jumps back by an hour",
			inject: func(l *Lab, _ context.Context, h string) error { return l.JumpClock(h, -time.Hour) }, heal: (*Lab).setClock},
		{Name: "partition-pair", Help: "the host and one replica lose each other in silence; all others reach both",
			inject: cut(func(l *Lab, h string) network.Cut {
				return network.Between([]string{h}, []string{l.dataNodeAfter(h)})
			}), heal: (*Lab).mend},
	}
}

// dataNodeAfter is the data node that comes after this one.
func (l *Lab) dataNodeAfter(node string) string {
	all := l.DataNodes()
	return all[(slices.Index(all, node)+1)%len(all)]
}

// starveOfMemory puts the server under a limit of memory and has it take more.
func (l *Lab) starveOfMemory(ctx context.Context, node string) error {
	p, err := l.server(node)
	if err != nil {
		return err
	}
	g := l.cgroup("memory", node)
	file := "memory.limit_in_bytes"
	if g.two {
		file = "memory.max"
	}
	// What the server has already is not counted: what it takes from now on is.
	if err := g.limit(p.PID, [2]string{file, "32M"}); err != nil {
		return err
	}
	db := l.open(node)
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("log in to the server of %s: %w", node, err)
	}
	defer conn.Close()
	for i := 0; p.Alive() && err == nil; i++ {
		_, err = conn.ExecContext(ctx, fmt.Sprintf("SET @memory%d = REPEAT('x', 8 * 1024 * 1024)", i))
	}
	if waiting := p.Wait(ctx); waiting != nil {
		return errors.Join(err, waiting)
	}
	return nil
}

// holderName is under which the process that holds something at a node's server
// is recorded.
func holderName(node string) string { return node + "-holder" }

// hold has a process of its own hold sessions at a node's server, until letGo,
// and waits until it does.
func (l *Lab) hold(ctx context.Context, node, what string) error {
	ready := l.path(node, holderName(node)+".ready")
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("hold %s at %s: %w", what, node, err)
	}
	log := l.path(node, holderName(node)+".log")
	p, err := process.Start(process.Spec{Lab: l.Dir, Name: holderName(node), Namespace: l.net.Namespace(node), Log: log,
		Args: []string{l.Binary, "lab", "server", "hold", node, what, "--dir", l.Dir, "--name", l.Name}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var ended error
	err = until(ctx, "somebody holds "+what+" at "+node, func(context.Context) error {
		if !p.Alive() {
			ended = fmt.Errorf("who was to hold %s at %s ended: %s", what, node, tail(log, 400))
			return nil
		}
		_, err := os.Stat(ready)
		return err
	})
	return errors.Join(ended, err)
}

func (l *Lab) letGo(ctx context.Context, node string) error {
	p, ok := process.Recorded(l.Dir, holderName(node))
	if !ok {
		return nil
	}
	return p.Kill(ctx)
}

// What can be held at a server.
const (
	HoldReadLock    = "read-lock"
	HoldMetadata    = "metadata-lock"
	HoldConnections = "connections"
)

func (l *Lab) lockForBackup(ctx context.Context, node string) error {
	return l.hold(ctx, node, HoldReadLock)
}

func (l *Lab) pileUp(ctx context.Context, node string) error { return l.hold(ctx, node, HoldMetadata) }

func (l *Lab) takeConnections(ctx context.Context, node string) error {
	return l.hold(ctx, node, HoldConnections)
}

// Hold holds something at a node's server until ctx ends: it is the process that
// a fault starts.
func (l *Lab) Hold(ctx context.Context, node, what string) error {
	var err error
	switch what {
	case HoldReadLock:
		err = l.holdStatements(ctx, node, "FLUSH TABLES WITH READ LOCK")
	case HoldMetadata:
		err = l.holdMetadata(ctx, node)
	case HoldConnections:
		return l.holdConnections(ctx, node)
	default:
		return fmt.Errorf("%q cannot be held", what)
	}
	if err != nil {
		return err
	}
	return l.heldUntil(ctx, node)
}

// heldUntil says that all is held, and keeps it so.
func (l *Lab) heldUntil(ctx context.Context, node string) error {
	if err := writeFile(l.path(node, holderName(node)+".ready"), nil, 0o640); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// holdStatements runs statements on a session that stays open for as long as
// this process lives.
func (l *Lab) holdStatements(ctx context.Context, node string, statements ...string) error {
	conn, err := l.open(node).Conn(ctx)
	if err != nil {
		return fmt.Errorf("log in to the server of %s: %w", node, err)
	}
	for _, s := range statements {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s on %s: %w", s, node, err)
		}
	}
	return nil
}

func (l *Lab) holdMetadata(ctx context.Context, node string) error {
	if err := l.holdStatements(ctx, node, "START TRANSACTION", "DO (SELECT COUNT(*) FROM (SELECT 1 FROM app.writes LIMIT 1) one)"); err != nil {
		return err
	}
	waiter, err := l.open(node).Conn(ctx)
	if err != nil {
		return fmt.Errorf("log in to the server of %s: %w", node, err)
	}
	go waiter.ExecContext(ctx, "LOCK TABLES app.writes WRITE") //nolint:errcheck // it waits until this process ends
	return until(ctx, "LOCK TABLES waits", func(ctx context.Context) error {
		var waits int
		if err := l.ask(ctx, node, "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'Waiting for table metadata lock' AND info LIKE 'LOCK TABLES%'", &waits); err != nil {
			return err
		}
		if waits == 0 {
			return errors.New("it does not yet")
		}
		return nil
	})
}

// holdConnections takes every connection, again and again, as the application.
func (l *Lab) holdConnections(ctx context.Context, node string) error {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr = appUser, l.Secrets.App, "unix", l.socket(node)
	cfg.Timeout, cfg.Logger = 2*time.Second, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return fmt.Errorf("take the connections of %s: %w", node, err)
	}
	clients := sql.OpenDB(connector)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for taken := false; ; {
		_, err := clients.Conn(ctx)
		const tooMany, tooManyOfUser = 1040, 1203
		var refused *mysql.MySQLError
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
			return nil
		case !errors.As(err, &refused) || refused.Number != tooMany && refused.Number != tooManyOfUser:
			return fmt.Errorf("take the connections of %s: %w", node, err)
		}
		if !taken {
			taken = true
			if err := writeFile(l.path(node, holderName(node)+".ready"), nil, 0o640); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// burners are how many processes keep one host's processors busy.
func burners() int { return 4 * runtime.NumCPU() }

func burnerName(node string, i int) string { return fmt.Sprintf("%s-burner-%d", node, i) }

func (l *Lab) burn(_ context.Context, node string) error {
	for i := range burners() {
		if _, err := process.Start(process.Spec{Lab: l.Dir, Name: burnerName(node, i), Namespace: l.net.Namespace(node),
			Args: []string{"sh", "-c", "while :; do :; done"}, Log: l.path(node, "burner.log")}); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) stopBurning(ctx context.Context, node string) error {
	var errs []error
	for i := range burners() {
		if p, ok := process.Recorded(l.Dir, burnerName(node, i)); ok {
			errs = append(errs, p.Kill(ctx))
		}
	}
	return errors.Join(errs...)
}

func (l *Lab) throttle(_ context.Context, node string) error {
	p, err := l.server(node)
	if err != nil {
		return err
	}
	g := l.cgroup("cpu", node)
	if g.two {
		return g.limit(p.PID, [2]string{"cpu.max", "10000 100000"})
	}
	return g.limit(p.PID, [2]string{"cpu.cfs_period_us", "100000"}, [2]string{"cpu.cfs_quota_us", "10000"})
}

// leases are those of the profiles.
var leases = map[string]time.Duration{"fast": 750 * time.Millisecond, "balanced": 2 * time.Second, "wan": 10 * time.Second}

// blip takes the host's link away and gives it back before it returns.
func (l *Lab) blip(ctx context.Context, node string) error {
	return l.Blip(ctx, node, leases[l.Profile]/5)
}

// Blip takes a host's link away for so long.
func (l *Lab) Blip(ctx context.Context, node string, length time.Duration) error {
	_, err := l.TimedBlip(ctx, node, length)
	return err
}

// TimedBlip takes a host's link away for so long, and says how long it was at most:
// what switches it needs a while itself.
func (l *Lab) TimedBlip(ctx context.Context, node string, length time.Duration) (time.Duration, error) {
	begun := time.Now()
	if err := l.portDown(ctx, node); err != nil {
		return 0, err
	}
	select {
	case <-time.After(length - time.Since(begun)):
	case <-ctx.Done():
	}
	err := l.portUp(context.WithoutCancel(ctx), node)
	return time.Since(begun), err
}

// Lease is the length of the lease that the lab's agents have.
func (l *Lab) Lease() time.Duration { return leases[l.Profile] }
