package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// An address that keepalived moves, by VRRP, to the host of which Baton says that it is
// the primary's (`baton check primary`).

const vrrpAddress = "10.77.0.60"

func keepalivedRoad() Road {
	r := Road{
		Name: "keepalived", Help: "an address that keepalived moves by what Baton answers its check",
		needs: []need{{file: "keepalived", pack: "keepalived"}},
		leads: func(ctx context.Context, l *Lab) (string, error) {
			return l.overMySQL(ctx, "cl", fmt.Sprintf("%s:%d", vrrpAddress, Port))
		},
	}
	r.daemons = func(l *Lab) []daemon {
		var daemons []daemon
		for _, n := range l.DataNodes() {
			file, pids := l.path(n, "vrrp.conf"), []string{l.path(n, "road-keepalived.pid"), l.path(n, "road-vrrp.pid")}
			daemons = append(daemons, daemon{
				name: "keepalived", host: n,
				args: []string{r.program("keepalived"), "--dont-fork", "--log-console", "--log-detail", "--vrrp", "--use-file=" + file, "--pid=" + pids[0], "--vrrp_pid=" + pids[1]},
				prepare: func(ctx context.Context) error {
					for _, f := range pids { // it takes any process that has the number in an old one for itself
						if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
							return fmt.Errorf("remove a stale pid file: %w", err)
						}
					}
					text, err := exec.CommandContext(ctx, l.Binary, "config", "keepalived", "--config", l.ConfigFile(n),
						"--address", vrrpAddress+"/24", "--interface", "eth0", "--router-id", "60").Output()
					if err != nil {
						return fmt.Errorf("have keepalived's configuration written: %w", err)
					}
					return writeFile(file, text, 0o600)
				},
			})
		}
		return daemons
	}
	return r
}
