package lab

import (
	"context"
	"fmt"
	"strings"
)

// A HAProxy that asks the agents itself, over HTTP, which server is the primary.

func checksRoad() Road {
	r := Road{
		Name: "checks", Help: "a HAProxy that asks every agent's /primary itself",
		needs: []need{{file: "haproxy", pack: "haproxy"}},
		leads: func(ctx context.Context, l *Lab) (string, error) {
			return l.overMySQL(ctx, "cl", l.address(servicesName)+":3307")
		},
	}
	r.daemons = func(l *Lab) []daemon {
		var servers strings.Builder
		for _, n := range l.DataNodes() {
			fmt.Fprintf(&servers, "    server %s %s:%d\n", n, l.address(n), Port)
		}
		return []daemon{l.haproxy(r, "haproxy-checks", fmt.Sprintf(`listen mysql-write
    bind %s:3307
    option httpchk OPTIONS /primary
    default-server check port %d inter 200ms fastinter 100ms fall 2 rise 1 on-marked-down shutdown-sessions
%s`, l.address(servicesName), HTTPPort, servers.String()))}
	}
	return r
}
