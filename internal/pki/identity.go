package pki

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
)

// Files says where a node finds what it shows to the others and what it
// believes them by.
type Files struct {
	CA, Cert, Key string
}

// An Identity is a node's certificate and key, checked.
type Identity struct {
	// Expires is when the node's certificate, or the authority's if that is
	// earlier, stops being valid.
	Expires time.Time

	pair tls.Certificate
	pool *x509.CertPool
}

// Load reads and checks the files of a node. Everything that is wrong is in the
// error, one finding a line, each with its file and what would be right.
func Load(f Files, node string, addrs []netip.Addr, now time.Time) (*Identity, error) {
	ca, caErr := readCert(f.CA)
	cert, certErr := readCert(f.Cert)
	key, keyErr := readKey(f.Key)
	findings := []error{caErr, certErr, keyErr}
	if keyErr == nil {
		findings = append(findings, private(f.Key))
	}
	if ca != nil {
		findings = append(findings, checkAuthority(f, ca, now))
	}
	if cert != nil {
		findings = append(findings, checkTimes(f.Cert, cert, now), checkNames(f.Cert, cert, node, addrs), checkUsage(f.Cert, cert))
	}
	if cert != nil && ca != nil && ca.IsCA {
		if err := cert.CheckSignatureFrom(ca); err != nil {
			findings = append(findings, fmt.Errorf("%s was not signed by the authority in %s: use the files that one run of `baton init` made (%w)", f.Cert, f.CA, err))
		}
	}
	if cert != nil && key != nil && !key.PublicKey.Equal(cert.PublicKey) {
		findings = append(findings, fmt.Errorf("%s is not the key of %s: use the two that belong together", f.Key, f.Cert))
	}
	if err := errors.Join(findings...); err != nil {
		return nil, err
	}
	id := &Identity{
		Expires: cert.NotAfter,
		pair:    tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert},
		pool:    x509.NewCertPool(),
	}
	if ca.NotAfter.Before(id.Expires) {
		id.Expires = ca.NotAfter
	}
	id.pool.AddCert(ca)
	return id, nil
}

// Server returns the settings of a listener that lets in only those whom the
// cluster's authority has signed.
func (i *Identity) Server() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{i.pair},
		ClientCAs:    i.pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}
}

// Client returns the settings of a connection to that node: whoever answers
// must be it.
func (i *Identity) Client(node string) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{i.pair},
		RootCAs:      i.pool,
		ServerName:   node,
	}
}

func checkAuthority(f Files, ca *x509.Certificate, now time.Time) error {
	if !ca.IsCA {
		return fmt.Errorf("%s is no certificate authority: name the ca.crt that `baton init` made", f.CA)
	}
	return checkTimes(f.CA, ca, now)
}

func checkTimes(file string, cert *x509.Certificate, now time.Time) error {
	switch {
	case now.After(cert.NotAfter):
		return fmt.Errorf("%s expired on %s: make new certificates with `baton init`", file, day(cert.NotAfter))
	case now.Before(cert.NotBefore):
		return fmt.Errorf("%s is valid from %s only, and here it is %s: set this host's clock", file, stamp(cert.NotBefore), stamp(now))
	}
	return nil
}

func checkNames(file string, cert *x509.Certificate, node string, addrs []netip.Addr) error {
	if cert.Subject.CommonName != node || !slices.Contains(cert.DNSNames, node) {
		return fmt.Errorf("%s is the certificate of %q, and this node is %q: use its own", file, cert.Subject.CommonName, node)
	}
	var lacks []string
	for _, addr := range addrs {
		if cert.VerifyHostname(addr.Unmap().String()) != nil {
			lacks = append(lacks, addr.String())
		}
	}
	if lacks != nil {
		return fmt.Errorf("%s does not name this node's address %s: make it anew after a change of address", file, strings.Join(lacks, ", "))
	}
	return nil
}

func checkUsage(file string, cert *x509.Certificate) error {
	for _, want := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if !slices.Contains(cert.ExtKeyUsage, want) {
			return fmt.Errorf("%s must be usable by servers and by clients (extended key usage serverAuth and clientAuth)", file)
		}
	}
	return nil
}

// private refuses a key that others may read.
func private(file string) error {
	st, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("look at the key: %w", err)
	}
	if open := st.Mode().Perm() & 0o077; open != 0 {
		return fmt.Errorf("%s can be read by others (mode %04o): chmod 600 %s", file, st.Mode().Perm(), file)
	}
	return nil
}

func readCert(file string) (*x509.Certificate, error) {
	der, err := readPEM(file, "CERTIFICATE", "certificate")
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the certificate %s: %w", file, err)
	}
	return cert, nil
}

func readKey(file string) (*ecdsa.PrivateKey, error) {
	der, err := readPEM(file, "PRIVATE KEY", "key")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("read the key %s: %w", file, err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read the key %s: it is a %T, ECDSA is wanted", file, key)
	}
	return ec, nil
}

func readPEM(file, kind, what string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the %s: %w", what, err)
	}
	block, _ := pem.Decode(b)
	switch {
	case block == nil:
		return nil, fmt.Errorf("read the %s %s: there is no PEM block in it", what, file)
	case block.Type != kind:
		return nil, fmt.Errorf("read the %s %s: it holds a %q, a %q is wanted", what, file, block.Type, kind)
	}
	return block.Bytes, nil
}

func day(t time.Time) string   { return t.UTC().Format(time.DateOnly) }
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
