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
func (n Network) DialContext(ctx context.Context, host, network, address string) (conn net.Conn, err error) {
	err = n.Do(host, func() (err error) {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Do runs f on a thread that is on a host of the lab. What f opens stays there.
func (n Network) Do(host string, f func() error) error {
	ns, err := netns.GetFromName(n.Namespace(host))
	if err != nil {
		return fmt.Errorf("open the namespace of %s: %w", host, err)
	}
	defer ns.Close()
	var g errgroup.Group
	g.Go(func() error {
		// A socket belongs to the namespace of the thread that made it. This
		// thread stays locked, so the runtime throws it away afterwards and
		// nothing else ever runs on it.
		runtime.LockOSThread()
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("enter the namespace of %s: %w", host, err)
		}
		return f()
	})
	return g.Wait()
}
