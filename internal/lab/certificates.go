package lab

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/baton-db/baton/internal/pki"
)

// writeCertificates makes a certificate authority and one certificate for each
// node, as `baton init` does.
func (l *Lab) writeCertificates() error {
	if err := os.MkdirAll(l.path("tls"), 0o700); err != nil {
		return fmt.Errorf("make the directory of certificates: %w", err)
	}
	now := time.Now()
	authority, err := pki.NewAuthority(clusterName, now)
	if err != nil {
		return err
	}
	if err := authority.Pair().Write(l.path("tls", "ca.crt"), l.path("tls", "ca.key")); err != nil {
		return err
	}
	for _, n := range append(l.Nodes(), l.StoreHosts()...) {
		h, err := l.host(n)
		if err != nil {
			return err
		}
		pair, err := authority.Issue(n, []netip.Addr{h.IPv4(), h.IPv6()}, now)
		if err != nil {
			return err
		}
		if err := pair.Write(l.path("tls", n+".crt"), l.path("tls", n+".key")); err != nil {
			return err
		}
	}
	return nil
}
