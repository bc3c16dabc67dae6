package route

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Multipath has the endpoint do as where the kernel has no nexthop objects.
func (e *Endpoint) Multipath() { e.without = true }

// BlockOf is the first number of an owner's block.
func BlockOf(owner string) uint32 { return blockOf(owner) }

// AskUnknown asks a namespace's kernel for a kind of message that it does not have, as one
// before 5.3 is asked for nexthop objects.
func AskUnknown(namespace int) error {
	k, err := dialKernel(namespace)
	if err != nil {
		return err
	}
	defer k.conn.Close()
	_, err = k.dump(1<<10, nexthopHeader(0, 0))
	return err
}

// TooLate has a question's time end before its answer is read, as where the kernel was
// busy for longer, or this process stood still.
func (e *Endpoint) TooLate(t testing.TB) {
	t.Helper()
	if err := e.kernel.within(time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := e.kernel.conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	_, err := e.kernel.ask(unix.RTM_GETNEXTHOP, netlink.Dump, nexthopHeader(unix.AF_UNSPEC, 0))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("it was answered: %v", err)
	}
}
