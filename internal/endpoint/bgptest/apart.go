package bgptest

import (
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// apart names the test for which a process was started.
const apart = "BATON_BGPTEST_APART"

// Apart runs the test that calls it in a process that has a network of its own, and
// reports whether this is that process: elsewhere the test is over when it returns. It is
// for one test of a package whose others need no network of their own (InOwnNetwork), or
// may run at the same time.
func Apart(t *testing.T) bool {
	t.Helper()
	needRoot(t)
	if os.Getenv(apart) == t.Name() {
		return true
	}
	args := []string{"-test.run=^" + regexp.QuoteMeta(t.Name()) + "$", "-test.v", "-test.count=1"}
	if end, ok := t.Deadline(); ok {
		args = append(args, "-test.timeout="+time.Until(end).String())
	}
	runtime.LockOSThread() // the child is to end with this process, not with some thread of it
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), inside+"=1", apart+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("in a network of its own: %v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("in a network of its own:\n%s", out)
	}
	return false
}
