package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"baton": main})
}

// The whole program, on the files that it makes itself. Every script may say
//
//	host ADDRESS/BITS…    a host of its own, with these addresses on eth0, in
//	                      the network namespace $HOST; needs root
//	code N command…       the command ends with exactly that code
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Condition: func(cond string) (bool, error) {
			if cond != "root" {
				return false, fmt.Errorf("no condition %q", cond)
			}
			return os.Geteuid() == 0, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"host": makeHost, "code": exitsWith},
	})
}

func makeHost(ts *testscript.TestScript, _ bool, addresses []string) {
	name := fmt.Sprintf("bdo-%d-%s", os.Getpid(), ts.Name())
	ip := func(args ...string) {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			ts.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	ip("netns", "add", name)
	ts.Defer(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	ip("-n", name, "link", "set", "lo", "up")
	ip("-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "peer0")
	for _, a := range addresses {
		ip("-n", name, "addr", "add", a, "dev", "eth0")
	}
	ip("-n", name, "link", "set", "eth0", "up")
	ip("-n", name, "link", "set", "peer0", "up")
	ts.Setenv("HOST", name)
}

func exitsWith(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: code N command…")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("run %v: %v", args[1:], err)
		}
		got = strconv.Itoa(exit.ExitCode())
	}
	if got != args[0] {
		ts.Fatalf("%v ended with %s, want %s", args[1:], got, args[0])
	}
}
