// Package pki answers: whose certificate is this, and may it speak for that
// node of this cluster? It makes the cluster's own certificate authority and
// one certificate for each node, and checks those that it is given.
//
// It opens no connection and asks no other authority. The one rule: a private
// key is never written where anybody but its owner could read it, and nothing
// that exists is overwritten.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"time"
)

// Validity is for how long certificates are made: ten years, the authority's
// as well as the nodes'. An expired certificate would stop a cluster that has
// nothing else wrong with it, so they are long, and SoonExpires warns early.
const Validity = 10 * 365 * 24 * time.Hour

// SoonExpires is how long before its end a certificate is worth a warning.
const SoonExpires = 60 * 24 * time.Hour

// backdated allows for clocks of nodes that are behind the one that made the
// certificate, by an hour and more: a time zone that was mistaken for another, say.
const backdated = 24 * time.Hour

// A Pair is a certificate and its private key, both PEM.
type Pair struct {
	Cert, Key []byte
}

// An Authority signs the certificates of one cluster's nodes.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pair Pair
}

// NewAuthority makes the authority of a cluster, valid from now on.
func NewAuthority(cluster string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of the authority: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Baton authority of " + cluster, Organization: []string{"Baton"}},
		NotBefore:             now.Add(-backdated),
		NotAfter:              now.Add(Validity),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	pair, cert, err := sign(template, template, key, key)
	if err != nil {
		return nil, fmt.Errorf("make the authority of %s: %w", cluster, err)
	}
	return &Authority{cert: cert, key: key, pair: pair}, nil
}

// Pair returns the authority's own certificate and key.
func (a *Authority) Pair() Pair { return a.pair }

// Issue makes the certificate with which a node shows who it is, as server and
// as client. The node's name is its common name and a DNS name in it; addrs are
// the addresses under which others reach the node.
func (a *Authority) Issue(node string, addrs []netip.Addr, now time.Time) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make the key of %s: %w", node, err)
	}
	serial, err := newSerial()
	if err != nil {
		return Pair{}, err
	}
	end := now.Add(Validity)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: node, Organization: []string{"Baton"}},
		NotBefore:             now.Add(-backdated),
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		DNSNames:              []string{node},
	}
	for _, addr := range addrs {
		template.IPAddresses = append(template.IPAddresses, net.IP(addr.Unmap().AsSlice()))
	}
	pair, _, err := sign(template, a.cert, key, a.key)
	if err != nil {
		return Pair{}, fmt.Errorf("make the certificate of %s: %w", node, err)
	}
	return pair, nil
}

// Write puts a certificate (mode 0644) and its key (0600) into new files. It
// overwrites nothing, and leaves neither file behind if one cannot be written.
func (p Pair) Write(certFile, keyFile string) error {
	if err := writeNew(keyFile, p.Key, 0o600); err != nil {
		return fmt.Errorf("write the key: %w", err)
	}
	if err := writeNew(certFile, p.Cert, 0o644); err != nil {
		return errors.Join(fmt.Errorf("write the certificate: %w", err), os.Remove(keyFile))
	}
	return nil
}

func writeNew(file string, b []byte, mode os.FileMode) (err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(file))
		}
	}()
	if err := f.Chmod(mode); err != nil { // whatever the umask says
		return err
	}
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Sync()
}

// newSerial returns a random serial number of 127 bits: positive and at most
// 20 octets long, as RFC 5280, section 4.1.2.2, wants it.
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}

func sign(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (Pair, *x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		return Pair{}, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return Pair{}, nil, err
	}
	pair, err := encode(der, key)
	return pair, cert, err
}

func encode(der []byte, key *ecdsa.PrivateKey) (Pair, error) {
	b, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encode a key: %w", err)
	}
	return Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}),
	}, nil
}
