package lab

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// An nginx on the witness's host, whose agent renders its upstream and has it loaded.

const nginxStream = "/usr/lib/nginx/modules/ngx_stream_module.so"

func nginxRoad() Road {
	r := Road{
		Name: "nginx", Help: "an nginx on the witness's host, whose upstream is rendered and loaded",
		witness: true,
		needs:   []need{{file: "nginx", pack: "nginx"}, {file: nginxStream, pack: "libnginx-mod-stream"}},
		leads: func(ctx context.Context, l *Lab) (string, error) {
			return l.overMySQL(ctx, "cl", l.address(witnessName)+":3306")
		},
		meddle: func(_ context.Context, l *Lab, to string) error { return l.editUpstream(to) },
	}
	r.endpoint = func(l *Lab) section {
		return section{"nodes": []string{witnessName}, "timeout": "5s", "nginx": section{
			"file": l.upstream(), "upstream": "shop_primary", "pid_file": l.path(witnessName, "nginx.pid"), "check": l.nginx(r, "-t", "-q")}}
	}
	r.daemons = func(l *Lab) []daemon {
		return []daemon{{
			name: "nginx", host: witnessName, args: l.nginx(r),
			prepare: func(context.Context) error {
				conf := fmt.Sprintf(`load_module %s;
user root;
daemon off;
worker_processes 2;
worker_shutdown_timeout 5s;
pid %s;
error_log %s;
events { worker_connections 256; }
stream {
    include %s;
    server { listen %s:3306; proxy_pass shop_primary; proxy_connect_timeout 1s; }
}
`, nginxStream, l.path(witnessName, "nginx.pid"), l.path(witnessName, "nginx-error.log"), l.upstream(), l.address(witnessName))
				return all(
					func() error { return writeFile(l.path(witnessName, "nginx.conf"), []byte(conf), 0o640) },
					func() error { return writeOnce(l.upstream(), "upstream shop_primary { server 127.0.0.1:1; }\n") },
				)
			},
			ready: func(ctx context.Context) error {
				conn, err := l.net.DialContext(ctx, witnessName, "tcp", l.address(witnessName)+":3306")
				if err != nil {
					return fmt.Errorf("connect to nginx: %w", err)
				}
				return conn.Close()
			},
		}}
	}
	return r
}

// nginx is its command.
func (l *Lab) nginx(r Road, more ...string) []string {
	return append([]string{r.program("nginx"), "-c", l.path(witnessName, "nginx.conf"), "-e", l.path(witnessName, "nginx-error.log")}, more...)
}

func (l *Lab) upstream() string { return l.path(witnessName, "upstream.conf") }

// editUpstream has nginx lead to another node, as a person would who has it loaded, too.
func (l *Lab) editUpstream(to string) error {
	text := fmt.Sprintf("upstream shop_primary { server %s:%d; }\n", l.address(to), Port)
	if err := writeFile(l.upstream(), []byte(text), 0o644); err != nil {
		return err
	}
	b, err := os.ReadFile(l.path(witnessName, "nginx.pid"))
	if err != nil {
		return fmt.Errorf("find nginx: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return fmt.Errorf("find nginx: %w", err)
	}
	p, err := l.RoadServer(nginxRoad())
	if err != nil {
		return err
	}
	if p.PID != pid {
		return fmt.Errorf("nginx says that it is process %d, and %d was started", pid, p.PID)
	}
	return p.Signal(unix.SIGHUP)
}
