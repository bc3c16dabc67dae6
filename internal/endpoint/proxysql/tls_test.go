package proxysql_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/endpoint/proxysql"
)

// signer is an authority as ProxySQL makes one at its first start.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newSigner(t *testing.T) signer {
	t.Helper()
	s := signer{cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ProxySQL_Auto_Generated_CA_Certificate"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}}
	var err error
	if s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	s.cert.Raw = s.sign(t, s.cert, s.key)
	if s.cert, err = x509.ParseCertificate(s.cert.Raw); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s signer) sign(t *testing.T, what *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, what, s.cert, key.Public(), s.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// server is a certificate for a server at these addresses; without any it is like the one
// that ProxySQL makes itself.
func (s signer) server(t *testing.T, addresses ...string) tls.Certificate {
	t.Helper()
	what := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "ProxySQL_Auto_Generated_Server_Certificate"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	for _, a := range addresses {
		what.IPAddresses = append(what.IPAddresses, net.ParseIP(a))
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{s.sign(t, what, key)}, PrivateKey: key}
}

func (s signer) trusted() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(s.cert)
	return &tls.Config{RootCAs: pool}
}

func TestTheAdminInterfaceOverTLS(t *testing.T) {
	own, other := newSigner(t), newSigner(t)
	for name, tt := range map[string]struct {
		shows   *tls.Certificate // nil: no TLS is offered
		trusts  *tls.Config      // nil: none is asked for
		anyName bool
		says    string // empty: it works
	}{
		"a certificate with its address":            {shows: certificate(own.server(t, "127.0.0.1")), trusts: own.trusted()},
		"ProxySQL's own, of which any is taken":     {shows: certificate(own.server(t)), trusts: own.trusted(), anyName: true},
		"ProxySQL's own, by its address":            {shows: certificate(own.server(t)), trusts: own.trusted(), says: "any_name: true takes all that tls.ca signed"},
		"one with another address":                  {shows: certificate(own.server(t, "127.0.0.2")), trusts: own.trusted(), says: "127.0.0.2, not 127.0.0.1"},
		"somebody else's, with the address":         {shows: certificate(other.server(t, "127.0.0.1")), trusts: own.trusted(), says: "signed by unknown authority"},
		"somebody else's, of which any is taken":    {shows: certificate(other.server(t)), trusts: own.trusted(), anyName: true, says: "signed by unknown authority"},
		"a ProxySQL that offers none":               {trusts: own.trusted(), says: "SET mysql-have_ssl='true'"},
		"a ProxySQL that offers it, and clear text": {shows: certificate(own.server(t))},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			if tt.shows != nil {
				s.Encrypt(*tt.shows)
			}
			o := options(s)
			o.TLS, o.AnyName = tt.trusts, tt.anyName
			e := proxysql.Open("proxysql", o)
			err := e.Set(t.Context(), to("db2", 1))
			if tt.says != "" {
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("it says %v, not %q", err, tt.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := e.Observe(t.Context()); err != nil || got.Node != "db2" {
				t.Errorf("it leads to %s, %v", got, err)
			}
			if inClear := s.InClear() > 0; inClear != (tt.trusts == nil) {
				t.Errorf("%d connections were in clear text", s.InClear())
			}
		})
	}
}

func certificate(c tls.Certificate) *tls.Certificate { return &c }
