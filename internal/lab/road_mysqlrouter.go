package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/lab/process"
)

// A MySQL Router on the witness's host, whose agent writes its destinations and has it
// restarted.

const (
	routerRoad    = "mysqlrouter"
	routerSection = "shop_primary"
	routerPort    = 6446
)

func mysqlRouterRoad() Road {
	r := Road{
		Name: routerRoad, Help: "a MySQL Router on the witness's host, which is restarted with other destinations",
		apart: true, witness: true,
		needs: []need{{file: "mysqlrouter", beside: config.MySQL, pack: "mysql-router, or have scripts/setup.sh mysql unpack one"}},
		endpoint: func(l *Lab) section {
			return section{"nodes": []string{witnessName}, "timeout": "10s", "mysqlrouter": section{
				"file": l.routerFile(), "routing": routerSection, "listen": l.RouterAddress(), "pid_file": l.routerPIDFile(),
				"restart": []string{l.Binary, "lab", "restart", routerRoad, "--dir", l.Dir, "--name", l.Name},
				"user":    appUser, "password_file": l.path("secrets", "app.password")}}
		},
		leads: func(ctx context.Context, l *Lab) (string, error) { return l.overMySQL(ctx, "cl", l.RouterAddress()) },
	}
	r.daemons = func(l *Lab) []daemon {
		conf := l.path(witnessName, "router.conf")
		return []daemon{{
			name: "router", host: witnessName, args: []string{l.routerProgram(), "--config=" + conf, "--extra-config=" + l.routerFile()},
			prepare: func(context.Context) error {
				return all(
					// An agent's commands do not have the environment in which it was found.
					func() error { return ignoring(os.ErrExist, os.Symlink(r.program("mysqlrouter"), l.routerProgram())) },
					func() error { return writeFile(conf, l.routerConfig(), 0o600) },
					func() error {
						return writeOnce(l.routerFile(), fmt.Sprintf("[routing:%s]\nrouting_strategy = first-available\ndestinations = 127.0.0.1:1\n", routerSection))
					},
					// It does not start where it finds the file of one that was killed.
					func() error { return ignoring(os.ErrNotExist, os.Remove(l.routerPIDFile())) },
				)
			},
			// Nobody connects: servers count connections that end in the handshake.
			ready: func(ctx context.Context) error { return l.listens(ctx, witnessName, routerPort) },
		}}
	}
	r.meddle = func(ctx context.Context, l *Lab, to string) error {
		text := fmt.Sprintf("[routing:%s]\nrouting_strategy = first-available\ndestinations = %s:%d\n", routerSection, l.address(to), Port)
		if err := writeFile(l.routerFile(), []byte(text), 0o644); err != nil {
			return err
		}
		return l.RestartRoad(ctx, r)
	}
	return r
}

// RouterAddress is where clients of MySQL Router connect.
func (l *Lab) RouterAddress() string { return fmt.Sprintf("%s:%d", l.address(witnessName), routerPort) }

func (l *Lab) routerProgram() string { return l.path(witnessName, "mysqlrouter") }
func (l *Lab) routerFile() string    { return l.path(witnessName, "router-shop.conf") }
func (l *Lab) routerPIDFile() string { return l.path(witnessName, "router.pid") }

// routerConfig is what MySQL Router is told beside the destinations. What it has to say
// comes out of its standard error.
func (l *Lab) routerConfig() []byte {
	return fmt.Appendf(nil, `[DEFAULT]
logging_folder =
runtime_folder = %[1]s
data_folder = %[1]s
pid_file = %[2]s
max_total_connections = 256
[io]
threads = 1
[routing:%[3]s]
bind_address = %[4]s
bind_port = %[5]d
`, l.path(witnessName), l.routerPIDFile(), routerSection, l.address(witnessName), routerPort)
}

// RestartRoad ends what runs for a road and starts it again, as a service manager would.
func (l *Lab) RestartRoad(ctx context.Context, r Road) error {
	if r.daemons == nil {
		return fmt.Errorf("nothing runs for the road %s", r.Name)
	}
	for _, d := range r.daemons(l) {
		if err := l.restartDaemon(ctx, d); err != nil {
			return fmt.Errorf("restart the road %s: %w", r.Name, err)
		}
	}
	return nil
}

// restartPatience is what a program may take to end, before it is killed.
const restartPatience = 20 * time.Second

func (l *Lab) restartDaemon(ctx context.Context, d daemon) error {
	unlock, err := l.lock(d.recorded())
	if err != nil {
		return err
	}
	defer unlock()
	if p, ok := process.Recorded(l.Dir, d.recorded()); ok {
		if err := p.Stop(ctx, restartPatience); err != nil {
			return err
		}
	}
	return l.launch(ctx, d)
}

// listens reports whether somebody listens on a TCP port of a host, without connecting.
func (l *Lab) listens(ctx context.Context, host string, port int) error {
	out, err := exec.CommandContext(ctx, "ip", "netns", "exec", l.net.Namespace(host), "ss", "-Hltn", "sport", "=", ":"+strconv.Itoa(port)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("see who listens on %s: %w: %s", host, err, bytes.TrimSpace(out))
	}
	if len(bytes.TrimSpace(out)) == 0 {
		return fmt.Errorf("nobody listens on port %d of %s", port, host)
	}
	return nil
}

// ignoring is err unless it is that one.
func ignoring(that, err error) error {
	if errors.Is(err, that) {
		return nil
	}
	return err
}
