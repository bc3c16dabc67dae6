package bgptest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// inside marks the process that has a network of its own.
const inside = "BATON_BGPTEST_INSIDE"

// InOwnNetwork runs the tests of a package, whose TestMain calls it, in a process that
// has a network of its own: what is tested speaks for this host, which no other test and
// nobody's daemon then does. Where that is not allowed they run as they are, and skip.
func InOwnNetwork(m *testing.M) int {
	if os.Geteuid() != 0 || os.Getenv(inside) != "" {
		return m.Run()
	}
	runtime.LockOSThread() // the child is to end with this process, not with some thread of it
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1)
	}
	fmt.Fprintln(os.Stderr, "run the tests in a network of their own:", err)
	return 1
}

// NewHere is New, with this process's network as that of the host.
func NewHere(t testing.TB, others ...int) *Rig {
	t.Helper()
	needRoot(t)
	if os.Getenv(inside) == "" {
		t.Fatal("this test needs a network of its own: its package's TestMain has to call InOwnNetwork")
	}
	fd, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	handle, err := netlink.NewHandleAt(fd, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{NS: fd, handle: handle}
	h.IP(t, "link set lo up")
	// The link goes with its other end, but not before that is asked for.
	t.Cleanup(func() {
		if link, err := handle.LinkByName("eth0"); err == nil {
			_ = handle.LinkDel(link)
		}
		handle.Close()
		fd.Close()
	})
	return join(t, h, others)
}
