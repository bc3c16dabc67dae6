package lab

import (
	"bufio"
	"context"
	"fmt"
	"strings"
)

// A HAProxy whose one server is set over its runtime API.

func haproxyRoad() Road {
	r := Road{
		Name: "haproxy", Help: "a HAProxy whose server is set over the runtime API",
		needs: []need{{file: "haproxy", pack: "haproxy"}},
		endpoint: func(l *Lab) section {
			return section{"haproxy": section{"sockets": []string{l.runtimeAPI()}, "backend": "mysql-write", "server": "current"}}
		},
		leads: func(ctx context.Context, l *Lab) (string, error) {
			return l.overMySQL(ctx, "cl", l.address(servicesName)+":3306")
		},
		meddle: func(ctx context.Context, l *Lab, to string) error {
			_, err := l.haproxySays(ctx, fmt.Sprintf("set server mysql-write/current addr %s port %d", l.address(to), Port))
			return err
		},
	}
	r.daemons = func(l *Lab) []daemon {
		d := l.haproxy(r, "haproxy", fmt.Sprintf(`    stats socket ipv4@%s level admin
listen mysql-write
    bind %s:3306
    server current 127.0.0.1:1 disabled
`, l.runtimeAPI(), l.address(servicesName)))
		d.ready = func(ctx context.Context) error {
			_, err := l.haproxySays(ctx, "show info")
			return err
		}
		return []daemon{d}
	}
	return r
}

func (l *Lab) runtimeAPI() string { return l.address(servicesName) + ":9999" }

// haproxy is one with those lines of its global section, and more sections.
func (l *Lab) haproxy(r Road, name, config string) daemon {
	file := l.path(servicesName, name+".cfg")
	global, sections, _ := strings.Cut(config, "listen ")
	text := "global\n    nbthread 1\n" + global + `defaults
    mode tcp
    timeout connect 1s
    timeout client 1h
    timeout server 1h
listen ` + sections
	return daemon{
		name: name, host: servicesName, args: []string{r.program("haproxy"), "-db", "-f", file},
		prepare: func(context.Context) error { return writeFile(file, []byte(text), 0o600) },
	}
}

// haproxySays has HAProxy carry a command out.
func (l *Lab) haproxySays(ctx context.Context, command string) (string, error) {
	conn, err := l.net.DialContext(ctx, servicesName, "tcp", l.runtimeAPI())
	if err != nil {
		return "", fmt.Errorf("tell HAProxy %q: %w", command, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := fmt.Fprintln(conn, command); err != nil {
		return "", fmt.Errorf("tell HAProxy %q: %w", command, err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("tell HAProxy %q: %w", command, err)
	}
	return strings.TrimSpace(line), nil
}
