package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// The yardstick: what tutorials tell people to set up, run on the same rig.
// One address moved by VRRP with an advertisement a second, a script that asks
// the server whether it lives, scripts that promote and demote, replicas that
// follow whoever has the address.

// keepalivedFaults are the faults that mean something without Baton.
var keepalivedFaults = []string{
	"crash", "power", "link", "freeze", "partition", "partition-in", "partition-out", "partition-nodes", "partition-split", "switchover",
}

// keepalivedPriorities are by data node; the first one wins the address back.
var keepalivedPriorities = [...]int{150, 100, 90}

const keepalivedConfig = `global_defs {
    router_id NODE
    script_user root
    enable_script_security
}
vrrp_script server_answers {
    script "DIR/check.sh"
    interval 2
    timeout 2
    fall 2
    rise 2
}
vrrp_instance database {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority PRIORITY
    advert_int 1
    virtual_ipaddress {
        ADDRESS4/32 dev eth0
    }
    virtual_ipaddress_excluded {
        ADDRESS6/128 dev eth0
    }
    track_script {
        server_answers
    }
    notify_master "DIR/promote.sh"
    notify_backup "DIR/demote.sh"
    notify_fault  "DIR/demote.sh"
}
`

// sqlScript runs statements on this node's server, one script at a time:
// keepalived does not wait for one before it starts the next.
const sqlScript = `#!/bin/sh
exec flock DIR/LOCK timeout 10 mariadb --no-defaults --socket=SOCKET --connect-timeout=2 -e "STATEMENTS"
`

func (l *Lab) writeKeepalived(node string) error {
	fill := strings.NewReplacer(
		"NODE", node, "DIR", l.path(node), "SOCKET", l.socket(node),
		"PRIORITY", fmt.Sprint(keepalivedPriorities[slices.Index(l.DataNodes(), node)]),
		"ADDRESS4", l.Addresses()[0].String(), "ADDRESS6", l.Addresses()[1].String())
	script := func(lock, statements string) string {
		return fill.Replace(strings.NewReplacer("LOCK", lock, "STATEMENTS", statements).Replace(sqlScript))
	}
	// keepalived skips a configuration file that can be executed.
	if err := writeFile(l.path(node, "keepalived.conf"), []byte(fill.Replace(keepalivedConfig)), 0o600); err != nil {
		return err
	}
	for file, text := range map[string]string{
		"check.sh":   script("check.lock", "SELECT 1"),
		"promote.sh": script("notify.lock", "STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only=OFF"),
		"demote.sh": script("notify.lock", fmt.Sprintf("SET GLOBAL read_only=ON; SET GLOBAL slave_net_timeout=3; STOP SLAVE; CHANGE MASTER TO MASTER_HOST='%s', MASTER_PORT=%d, MASTER_USER='%s', "+
			"MASTER_PASSWORD='%s', MASTER_USE_GTID=current_pos, MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=0.5; START SLAVE",
			l.Addresses()[0], Port, replicationUser, l.Secrets.Replication)),
	} {
		if err := writeFile(l.path(node, file), []byte(text), 0o700); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) buildKeepalived(ctx context.Context) error {
	for _, n := range l.DataNodes() {
		if err := l.writeKeepalived(n); err != nil {
			return err
		}
		if err := l.StartAgent(ctx, n); err != nil {
			return err
		}
	}
	return l.WaitSteady(ctx)
}

// keepalivedArgs runs keepalived in the foreground, away from a system-wide one.
func (l *Lab) keepalivedArgs(node string) []string {
	return []string{"keepalived", "--dont-fork", "--log-console", "--log-detail", "--vrrp",
		"--use-file=" + l.path(node, "keepalived.conf"),
		"--pid=" + l.path(node, "keepalived.pid"), "--vrrp_pid=" + l.path(node, "vrrp.pid")}
}

// stopKeepalived is the planned switch of the yardstick: keepalived is stopped
// in good order where it holds the address.
func (l *Lab) stopKeepalived(ctx context.Context) error {
	primary, err := l.Primary(ctx)
	if err != nil {
		return err
	}
	p, err := l.agent(primary)
	if err != nil {
		return err
	}
	return p.Stop(ctx, 10*time.Second)
}

// undoSwitchover has nothing to do but where the switch consisted of stopping
// something.
func (l *Lab) undoSwitchover(ctx context.Context, _ string) error {
	if l.Manager != ByKeepalived {
		return nil
	}
	for _, n := range l.DataNodes() {
		if err := l.StartAgent(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// renew makes all hosts and servers of the yardstick new. It needs that after
// each run: nothing in it repairs what a failover has torn.
func (l *Lab) renew(ctx context.Context) error {
	for _, n := range l.DataNodes() {
		if err := l.cutPower(ctx, n); err != nil {
			return err
		}
	}
	var g errgroup.Group
	for _, n := range l.DataNodes() {
		g.Go(func() error {
			h, err := l.host(n)
			if err != nil {
				return err
			}
			if err := l.net.AddHost(ctx, h); err != nil {
				return err
			}
			if err := l.freshData(ctx, n); err != nil {
				return err
			}
			return l.StartServer(ctx, n)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return l.buildKeepalived(ctx)
}
