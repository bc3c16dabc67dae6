package lab

import (
	"context"
	"fmt"
	"strings"
)

// A HAProxy that asks the agents itself, over HTTP, which server is the primary, and which
// replicas readers may be led to.

const (
	checksPort     = 3307
	readChecksPort = 3308 // of readers
)

func checksRoad() Road {
	r := Road{
		Name: "checks", Help: fmt.Sprintf("a HAProxy that asks every agent's /primary itself, and /replica for readers (port %d)", readChecksPort),
		needs: []need{{file: "haproxy", pack: "haproxy"}},
		leads: func(ctx context.Context, l *Lab) (string, error) {
			return l.overMySQL(ctx, "cl", fmt.Sprintf("%s:%d", l.address(servicesName), checksPort))
		},
	}
	r.daemons = func(l *Lab) []daemon {
		var servers strings.Builder
		for _, n := range l.DataNodes() {
			fmt.Fprintf(&servers, "    server %s %s:%d\n", n, l.address(n), Port)
		}
		return []daemon{l.haproxy(r, "haproxy-checks", fmt.Sprintf(`listen mysql-write
    bind %[1]s:%[2]d
    option httpchk OPTIONS /primary
    default-server check port %[3]d inter 200ms fastinter 100ms fall 2 rise 1 on-marked-down shutdown-sessions
%[4]slisten mysql-read
    bind %[1]s:%[5]d
    option httpchk OPTIONS /replica?lag=%[6]s
    default-server check port %[3]d inter 200ms fastinter 100ms fall 2 rise 1 on-marked-down shutdown-sessions
%[4]s`, l.address(servicesName), checksPort, HTTPPort, servers.String(), readChecksPort, readersLag))}
	}
	return r
}
