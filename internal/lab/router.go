package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
)

// routerName is the host of the router, if there is one.
const routerName = "rt"

// RouterFollows reports whether the router takes a node for the owner of every
// virtual address, asking nobody but the router's own neighbour tables.
func (l *Lab) RouterFollows(ctx context.Context, node string) error {
	if !l.Routed {
		return errors.New("this lab has no router")
	}
	h, err := l.host(node)
	if err != nil {
		return err
	}
	for _, a := range l.Addresses() {
		out, err := exec.CommandContext(ctx, "ip", "-n", l.net.Namespace(routerName), "neigh", "show", "to", a.String(), "dev", "eth0").CombinedOutput()
		if err != nil {
			return fmt.Errorf("ask the router for its neighbour %s: %w: %s", a, err, bytes.TrimSpace(out))
		}
		if !bytes.Contains(out, []byte(h.MAC())) {
			return fmt.Errorf("%s has %s, and to the router it is %q", node, a, bytes.TrimSpace(out))
		}
	}
	return nil
}
