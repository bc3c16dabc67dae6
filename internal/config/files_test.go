package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// authority signs the certificates of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(9, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

// leaf is a good certificate for an address; cases change it.
func leaf(node, address string) x509.Certificate {
	return x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: node}, DNSNames: []string{node}, IPAddresses: []net.IP{net.ParseIP(address)},
		NotBefore: noon.AddDate(0, -1, 0), NotAfter: noon.AddDate(1, 0, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

// issue writes a certificate and its key.
func (a authority) issue(t *testing.T, template x509.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
	put(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})), 0o600)
}

func (a authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// equipped is a node with passwords and certificates, all in order.
func equipped(t *testing.T, node string) (cfg *Config, dir string, ca authority) {
	t.Helper()
	cfg, dir = in(t, node)
	cfg.DataDir, cfg.RunDir = filepath.Join(dir, "data"), filepath.Join(dir, "run")
	if err := os.Mkdir(filepath.Join(dir, "tls"), 0o755); err != nil {
		t.Fatal(err)
	}
	ca = newAuthority(t, "shop")
	put(t, cfg.TLS.CA, ca.pem(), 0o644)
	ca.issue(t, leaf(node, cfg.Self().Address.String()), cfg.TLS.Cert, cfg.TLS.Key)
	return cfg, dir, ca
}

func TestCheckFiles(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(t *testing.T, cfg *Config, ca authority)
		want   []string // without the name of the file, directories as DIR
	}{
		"all is in order": {func(*testing.T, *Config, authority) {}, nil},
		"the files are missing": {func(t *testing.T, c *Config, _ authority) {
			for _, f := range []string{c.TLS.CA, c.TLS.Cert, c.TLS.Key} {
				mustRemove(t, f)
			}
		}, []string{
			"tls.ca: read DIR/tls/ca.crt: no such file or directory; make it with `baton init`, or give the right path",
			"tls.key: read DIR/tls/db1.key: no such file or directory; make it with `baton init`, or give the right path",
			"tls.cert: read DIR/tls/db1.crt: no such file or directory; make it with `baton init`, or give the right path",
		}},
		"they are no certificates": {func(t *testing.T, c *Config, _ authority) {
			put(t, c.TLS.CA, "hello", 0o644)
			put(t, c.TLS.Cert, "hello", 0o644)
		}, []string{
			"tls.ca: DIR/tls/ca.crt holds no certificate in PEM form; make it with `baton init`, or give the right path",
			"tls.cert: DIR/tls/db1.crt and DIR/tls/db1.key are no pair: tls: failed to find any PEM data in certificate input; make it with `baton init`, or give the right path",
		}},
		"the authority is a node's certificate": {func(t *testing.T, c *Config, _ authority) {
			b, err := os.ReadFile(c.TLS.Cert)
			if err != nil {
				t.Fatal(err)
			}
			put(t, c.TLS.CA, string(b), 0o644)
		}, []string{"tls.ca: DIR/tls/ca.crt holds the certificate of db1, which is no authority; give the file with the authority's certificate"}},
		"the key can be read by a group": {func(t *testing.T, c *Config, _ authority) {
			if err := os.Chmod(c.TLS.Key, 0o640); err != nil {
				t.Fatal(err)
			}
		}, []string{"tls.key: others on this host may open DIR/tls/db1.key (mode 0640); chmod 0600 DIR/tls/db1.key"}},
		"the key is that of another certificate": {func(t *testing.T, c *Config, ca authority) {
			ca.issue(t, leaf("db1", "10.77.0.11"), c.TLS.Cert+".other", c.TLS.Key)
		}, []string{"tls.cert: DIR/tls/db1.crt and DIR/tls/db1.key are no pair: tls: private key does not match public key; make it with `baton init`, or give the right path"}},
		"another authority signed it": {func(t *testing.T, c *Config, _ authority) {
			put(t, c.TLS.CA, newAuthority(t, "other").pem(), 0o644)
		}, []string{`tls.cert: DIR/tls/db1.crt is not signed by DIR/tls/ca.crt: x509: certificate signed by unknown authority; use the authority that made it, or have it made anew`}},
		"it is for another node": {func(t *testing.T, c *Config, ca authority) {
			ca.issue(t, leaf("db2", "10.77.0.12"), c.TLS.Cert, c.TLS.Key)
		}, []string{`tls.cert: DIR/tls/db1.crt is the certificate of "db2", not of db1; give this node its own`}},
		"the node has another address now": {func(t *testing.T, c *Config, ca authority) {
			ca.issue(t, leaf("db1", "10.77.0.12"), c.TLS.Cert, c.TLS.Key)
		}, []string{"tls.cert: DIR/tls/db1.crt does not name this node's address 10.77.0.11; make a new one after a change of address"}},
		"it has expired": {func(t *testing.T, c *Config, ca authority) {
			l := leaf("db1", "10.77.0.11")
			l.NotAfter = noon.AddDate(0, 0, -1)
			ca.issue(t, l, c.TLS.Cert, c.TLS.Key)
		}, []string{"tls.cert: DIR/tls/db1.crt expired on 2026-05-31; make a new one"}},
		"it will expire": {func(t *testing.T, c *Config, ca authority) {
			l := leaf("db1", "10.77.0.11")
			l.NotAfter = noon.AddDate(0, 0, 20)
			ca.issue(t, l, c.TLS.Cert, c.TLS.Key)
		}, []string{"warning: tls.cert: DIR/tls/db1.crt expires on 2026-06-21; make a new one before that"}},
		"this host's clock is behind": {func(t *testing.T, c *Config, ca authority) {
			l := leaf("db1", "10.77.0.11")
			l.NotBefore = noon.AddDate(0, 0, 2)
			ca.issue(t, l, c.TLS.Cert, c.TLS.Key)
		}, []string{"tls.cert: DIR/tls/db1.crt is valid from 2026-06-03, and here it is 2026-06-01; set this host's clock"}},
		"it is good for one end only": {func(t *testing.T, c *Config, ca authority) {
			l := leaf("db1", "10.77.0.11")
			l.ExtKeyUsage = l.ExtKeyUsage[:1]
			ca.issue(t, l, c.TLS.Cert, c.TLS.Key)
		}, []string{"tls.cert: DIR/tls/db1.crt may not open connections; make one for both ends: extended key usage serverAuth and clientAuth"}},
		"an account without a password that is not the system user": {func(_ *testing.T, c *Config, _ authority) {
			c.Server.User, c.Server.PasswordFile = "no-such-user", ""
		}, []string{"warning: server.user: no-such-user has no password, and the server lets in nobody without one but the system user no-such-user; this runs as ME; " +
			"add server.password_file, or write user: ME"}},
		"an account without a password that is the system user": {func(t *testing.T, c *Config, _ authority) {
			c.Server.User, c.Server.PasswordFile = me(t), ""
		}, nil},
		"a command is missing": {func(_ *testing.T, c *Config, _ authority) {
			c.Server.Start = []string{"no-such-command", "start"}
		}, []string{"server.start: there is no command no-such-command; install it, or give its path"}},
		"a directory is a file": {func(t *testing.T, c *Config, _ authority) {
			put(t, c.DataDir, "x", 0o600)
			c.RunDir = filepath.Join(c.DataDir, "run")
		}, []string{
			"data_dir: DIR/data is no directory; give another path",
			"run_dir: DIR/data is no directory; give another path",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, dir, ca := equipped(t, "db1")
			tt.change(t, cfg, ca)
			for i, w := range tt.want {
				tt.want[i] = strings.ReplaceAll(w, "ME", me(t))
			}
			var got []string
			for _, f := range cfg.CheckFiles(noon) {
				f.File, f.Line = "", 0
				got = append(got, strings.ReplaceAll(f.String(), dir, "DIR"))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func me(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

func TestAnExternalStoreNeedsNoCertificatesOfTheCluster(t *testing.T) {
	dir := t.TempDir()
	text := good + "store: {endpoints: [https://10.0.0.1:2379], tls: {ca: etcd.crt}}\n"
	cfg, found := Parse(filepath.Join(dir, "baton.yaml"), []byte(text))
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "etcd.crt"), newAuthority(t, "etcd").pem(), 0o644)
	for _, f := range cfg.checkCertificates(noon) {
		t.Error(f)
	}
}
