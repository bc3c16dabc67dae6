package network

import (
	"context"
	"fmt"
	"net"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sync/errgroup"
)

// DialContext connects from a host of the lab. The address must be numeric.
func (n Network) DialContext(ctx context.Context, host, network, address string) (net.Conn, error) {
	ns, err := netns.GetFromName(n.Namespace(host))
	if err != nil {
		return nil, fmt.Errorf("open the namespace of %s: %w", host, err)
	}
	defer ns.Close()
	var conn net.Conn
	var g errgroup.Group
	g.Go(func() error {
		// A socket belongs to the namespace of the thread that made it. This
		// thread stays locked, so the runtime throws it away afterwards and
		// nothing else ever runs on it.
		runtime.LockOSThread()
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("enter the namespace of %s: %w", host, err)
		}
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return conn, nil
}
