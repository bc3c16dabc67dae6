package pki_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/pki"
)

var (
	born  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	addrs = []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}
)

// nodeFiles writes what `baton init` would for node db1.
func nodeFiles(t *testing.T, now time.Time) (pki.Files, *pki.Authority) {
	t.Helper()
	dir := t.TempDir()
	f := pki.Files{CA: filepath.Join(dir, "ca.crt"), Cert: filepath.Join(dir, "db1.crt"), Key: filepath.Join(dir, "db1.key")}
	ca, err := pki.NewAuthority("shop", now)
	if err != nil {
		t.Fatal(err)
	}
	write(t, ca.Pair(), f.CA, filepath.Join(dir, "ca.key"))
	pair, err := ca.Issue("db1", addrs, now)
	if err != nil {
		t.Fatal(err)
	}
	write(t, pair, f.Cert, f.Key)
	return f, ca
}

func write(t *testing.T, p pki.Pair, cert, key string) {
	t.Helper()
	if err := p.Write(cert, key); err != nil {
		t.Fatal(err)
	}
}

func overwrite(t *testing.T, file string, b []byte) {
	t.Helper()
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestACertificateIsWhatItShouldBe(t *testing.T) {
	f, ca := nodeFiles(t, born)
	cert := parse(t, f.Cert)
	root := parse(t, f.CA)
	if cert.PublicKeyAlgorithm != x509.ECDSA || cert.SerialNumber.Sign() <= 0 || cert.SerialNumber.Cmp(root.SerialNumber) == 0 {
		t.Errorf("algorithm %s, serial %s, authority's serial %s", cert.PublicKeyAlgorithm, cert.SerialNumber, root.SerialNumber)
	}
	if got := cert.NotAfter.Sub(born); got != pki.Validity {
		t.Errorf("valid for %s, want %s", got, pki.Validity)
	}
	for _, host := range []string{"db1", "10.0.0.1", "fd00::1"} {
		if err := cert.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	later, err := ca.Issue("db2", nil, born.Add(pki.Validity-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, f.Cert, later.Cert)
	if late := parse(t, f.Cert); late.NotAfter.After(root.NotAfter) {
		t.Errorf("a certificate until %s outlives its authority, which ends %s", late.NotAfter, root.NotAfter)
	}
}

func TestFilesOfAKeyAreForTheirOwnerAndNeverOverwritten(t *testing.T) {
	f, ca := nodeFiles(t, born)
	if st, err := os.Stat(f.Key); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, err %v", st.Mode(), err)
	}
	before, _ := os.ReadFile(f.Key)
	fresh := filepath.Join(t.TempDir(), "new.key")
	if err := ca.Pair().Write(f.Cert, fresh); err == nil {
		t.Error("the certificate was overwritten")
	}
	if _, err := os.Stat(fresh); !os.IsNotExist(err) {
		t.Errorf("a key without its certificate was left behind: %v", err)
	}
	if err := ca.Pair().Write(filepath.Join(t.TempDir(), "new.crt"), f.Key); err == nil {
		t.Error("the key was overwritten")
	}
	if after, _ := os.ReadFile(f.Key); !bytes.Equal(before, after) {
		t.Error("the key has changed")
	}
}

func TestEverythingWrongIsSaid(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(t *testing.T, f *pki.Files)
		node  string
		addrs []netip.Addr
		now   time.Time
		want  []string
	}{
		"nothing is wrong":           {},
		"it has expired":             {now: born.Add(pki.Validity + time.Hour), want: []string{"ca.crt expired on 2036-02-27", "db1.crt expired on 2036-02-27"}},
		"the clock is an hour late":  {now: born.Add(-61 * time.Minute)},
		"the clock is wrong":         {now: born.Add(-48 * time.Hour), want: []string{"ca.crt is valid from", "db1.crt is valid from"}},
		"it is another node's":       {node: "db2", want: []string{`is the certificate of "db1", and this node is "db2"`}},
		"the node has moved":         {addrs: []netip.Addr{addrs[0], netip.MustParseAddr("10.9.9.9")}, want: []string{"does not name this node's address 10.9.9.9"}},
		"it is of another authority": {spoil: otherAuthority, want: []string{"was not signed by the authority"}},
		"the key is another one":     {spoil: otherKey, want: []string{"db1.key is not the key of"}},
		"others may read the key": {spoil: func(t *testing.T, f *pki.Files) {
			if err := os.Chmod(f.Key, 0o640); err != nil {
				t.Fatal(err)
			}
		}, want: []string{"can be read by others (mode 0640)"}},
		"nothing is there": {spoil: func(_ *testing.T, f *pki.Files) {
			*f = pki.Files{CA: "/nowhere/ca.crt", Cert: "/nowhere/db1.crt", Key: "/nowhere/db1.key"}
		}, want: []string{"/nowhere/ca.crt: no such file", "/nowhere/db1.crt: no such file", "/nowhere/db1.key: no such file"}},
		"they are mixed up": {spoil: func(_ *testing.T, f *pki.Files) { f.Cert, f.Key, f.CA = f.Key, f.Cert, f.Cert },
			want: []string{`holds a "PRIVATE KEY"`, `holds a "CERTIFICATE"`, "is no certificate authority"}},
		"they are torn": {spoil: func(t *testing.T, f *pki.Files) {
			overwrite(t, f.Cert, []byte("-----BEGIN CERTIFICATE-----\nMII"))
			overwrite(t, f.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}))
		}, want: []string{"db1.crt: there is no PEM block in it", "read the key"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := nodeFiles(t, born)
			if tt.spoil != nil {
				tt.spoil(t, &f)
			}
			if tt.node == "" {
				tt.node = "db1"
			}
			if tt.addrs == nil {
				tt.addrs = addrs
			}
			if tt.now.IsZero() {
				tt.now = born
			}
			_, err := pki.Load(f, tt.node, tt.addrs, tt.now)
			if err == nil {
				if tt.want != nil {
					t.Fatalf("it was accepted, although %q", tt.want)
				}
				return
			}
			if got := strings.Count(err.Error(), "\n") + 1; got != len(tt.want) {
				t.Errorf("%d findings, want %d:\n%v", got, len(tt.want), err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not said:\n%v", want, err)
				}
			}
		})
	}
}

func otherAuthority(t *testing.T, f *pki.Files) {
	ca, err := pki.NewAuthority("shop", born)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, f.CA, ca.Pair().Cert)
}

func otherKey(t *testing.T, f *pki.Files) {
	ca, err := pki.NewAuthority("shop", born)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, f.Key, ca.Pair().Key)
}

func TestOnlyNodesOfTheClusterAreLetIn(t *testing.T) {
	now := time.Now()
	f, ca := nodeFiles(t, now)
	server, err := pki.Load(f, "db1", addrs, now)
	if err != nil {
		t.Fatal(err)
	}
	peer := issue(t, ca, "db2", now)
	other, err := pki.NewAuthority("shop", now)
	if err != nil {
		t.Fatal(err)
	}
	stranger := issue(t, other, "db2", now)

	if err := shake(server.Server(), peer.Client("db1")); err != nil {
		t.Errorf("a node of the cluster was refused: %v", err)
	}
	if err := shake(server.Server(), peer.Client("db3")); err == nil {
		t.Error("db1 was taken for db3")
	}
	trusting := stranger.Client("db1")
	trusting.RootCAs = peer.Client("db1").RootCAs // only the server could refuse it now
	if err := shake(server.Server(), trusting); err == nil {
		t.Error("a certificate of another authority was let in")
	}
	nameless := peer.Client("db1")
	nameless.Certificates = nil
	if err := shake(server.Server(), nameless); err == nil {
		t.Error("a client without certificate was let in")
	}
}

func issue(t *testing.T, ca *pki.Authority, node string, now time.Time) *pki.Identity {
	t.Helper()
	dir := t.TempDir()
	f := pki.Files{CA: filepath.Join(dir, "ca.crt"), Cert: filepath.Join(dir, "n.crt"), Key: filepath.Join(dir, "n.key")}
	overwrite(t, f.CA, ca.Pair().Cert)
	pair, err := ca.Issue(node, addrs, now)
	if err != nil {
		t.Fatal(err)
	}
	write(t, pair, f.Cert, f.Key)
	id, err := pki.Load(f, node, addrs, now)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// shake returns why two ends do not come together, each seen from the client:
// a byte has to come back, because in TLS 1.3 the client's handshake ends before
// the server has judged it.
func shake(server, client *tls.Config) error {
	a, b := net.Pipe()
	go func() {
		s := tls.Server(b, server)
		if s.Handshake() == nil {
			_, _ = s.Write([]byte{1})
		}
		_ = b.Close()
	}()
	c := tls.Client(a, client)
	defer a.Close()
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

func parse(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
