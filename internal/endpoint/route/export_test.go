package route

import (
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"
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
	_, err = dump(k, 1<<10, nexthopHeader(0, 0), func([]byte) (struct{}, bool, error) { return struct{}{}, false, nil })
	return err
}

// TooLate has a question's time end before its answer is read, as where the kernel was
// busy for longer, or this process stood still.
func (e *Endpoint) TooLate(t testing.TB, ask func(*kernel) error) {
	t.Helper()
	if err := e.kernel.within(time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := e.kernel.conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := ask(e.kernel); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("it was answered: %v", err)
	}
}

// Where is one question, and List one whose answer is long.
func Where(a netip.Addr) func(*kernel) error {
	return func(k *kernel) error { _, err := k.linkTo(a); return err }
}

func List(k *kernel) error { _, _, err := k.nexthops(); return err }
