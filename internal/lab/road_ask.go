package lab

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// overMySQL asks the server that answers at an address which one it is, over a
// connection of its own, as an application on that host.
func (l *Lab) overMySQL(ctx context.Context, from, address string) (node string, err error) {
	var id uint32
	err = l.onceAt(ctx, from, address, func(db querier) error {
		return db.QueryRowContext(ctx, "SELECT @@server_id").Scan(&id)
	})
	if err != nil {
		return "", fmt.Errorf("ask %s, from %s, which server it is: %w", address, from, err)
	}
	return l.nodeOf(id), nil
}

// querier is what one asks a server.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// onceAt asks the server that answers at an address, over a connection of its own.
func (l *Lab) onceAt(ctx context.Context, from, address string, ask func(querier) error) error {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.DBName = appUser, l.Secrets.App, "tcp", address, "app"
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = askRoad, askRoad, askRoad
	if end, ok := ctx.Deadline(); ok {
		cfg.ReadTimeout = max(time.Millisecond, time.Until(end))
	}
	cfg.Logger = &mysql.NopLogger{}
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		return l.net.DialContext(ctx, from, network, address)
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	return ask(db)
}

// overDNS asks a name server for the address of a name.
func (l *Lab) overDNS(ctx context.Context, from, server, name string) (node string, err error) {
	nodes, err := l.allOverDNS(ctx, from, server, name)
	if err != nil {
		return "", err
	}
	return nodes[0], nil
}

// allOverDNS asks a name server for all addresses of a name. There is one at least.
func (l *Lab) allOverDNS(ctx context.Context, from, server, name string) (nodes []string, err error) {
	m := new(dns.Msg)
	m.SetQuestion(name, dns.TypeA)
	answer, err := l.exchange(ctx, from, server, m, nil)
	if err != nil {
		return nil, err
	}
	for _, rr := range answer.Answer {
		if a, ok := rr.(*dns.A); ok {
			ip, _ := netip.AddrFromSlice(a.A)
			node, err := l.nodeAt(ip.Unmap())
			if err != nil {
				return nil, err
			}
			nodes = append(nodes, node)
		}
	}
	if len(nodes) == 0 {
		return nil, fmt.Errorf("ask %s for %s: %s, and no address", server, name, dns.RcodeToString[answer.Rcode])
	}
	return nodes, nil
}

// exchange sends a message to a name server, by UDP, from a host.
func (l *Lab) exchange(ctx context.Context, from, server string, m *dns.Msg, secrets map[string]string) (*dns.Msg, error) {
	conn, err := l.net.DialContext(ctx, from, "udp", server)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	defer conn.Close()
	c := dns.Client{Timeout: askRoad, TsigSecret: secrets}
	if end, ok := ctx.Deadline(); ok {
		c.Timeout = max(time.Millisecond, time.Until(end))
	}
	answer, _, err := c.ExchangeWithConn(m, &dns.Conn{Conn: conn, UDPSize: dns.MinMsgSize, TsigSecret: secrets})
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	return answer, nil
}

// overHTTP is the body that a web server on a host answers with.
func (l *Lab) overHTTP(ctx context.Context, from, url string) ([]byte, error) {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return l.net.DialContext(ctx, from, network, address)
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", url, err)
	}
	answer, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", url, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, body)
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", url, err)
	}
	return body, nil
}

// overKernel is where the table of a host's kernel leads packets for an address.
func (l *Lab) overKernel(_ context.Context, host string, to netip.Addr) (node string, err error) {
	ns, err := netns.GetFromName(l.net.Namespace(host))
	if err != nil {
		return "", fmt.Errorf("open the namespace of %s: %w", host, err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return "", fmt.Errorf("ask the kernel of %s: %w", host, err)
	}
	defer h.Close()
	routes, err := h.RouteGet(to.AsSlice())
	if err != nil || len(routes) == 0 {
		return "", fmt.Errorf("%s has no route to %s: %w", host, to, err)
	}
	via, _ := netip.AddrFromSlice(routes[0].Gw)
	return l.nodeBehind(via.Unmap())
}

// nodeBehind is the data node that has an address on one of its cards.
func (l *Lab) nodeBehind(a netip.Addr) (string, error) {
	for _, n := range l.DataNodes() {
		h, err := l.host(n)
		if err != nil {
			return "", err
		}
		if other := h.OnSecond(); a == other.IPv4() || a == other.IPv6() {
			return n, nil
		}
	}
	return l.nodeAt(a)
}
