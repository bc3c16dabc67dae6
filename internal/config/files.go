package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// CheckFiles judges everything that the configuration names on this host:
// password files, certificates, commands and directories. An agent calls it
// before it starts; it changes nothing. now is for the certificates' dates.
func (c *Config) CheckFiles(now time.Time) Findings {
	_, found := c.Passwords()
	found = append(found, c.checkSocketUser()...)
	found = append(found, c.checkCertificates(now)...)
	found = append(found, c.checkPublicTLS(now)...)
	found = append(found, c.checkCommands()...)
	found = append(found, c.checkTemplates()...)
	found = append(found, c.checkFRR()...)
	found = append(found, c.checkHooks()...)
	found = append(found, c.checkProxies()...)
	for _, d := range []struct{ key, dir string }{{"data_dir", c.DataDir}, {"run_dir", c.RunDir}} {
		if what, mend := checkDirectory(d.dir); what != "" {
			found = append(found, c.finding(d.key, what, mend))
		}
	}
	return found.sorted()
}

// checkSocketUser: without a password the server admits nobody but the system
// user of the account's name.
func (c *Config) checkSocketUser() Findings {
	block, s := c.ownBlock()
	if c.Witness() || s.PasswordFile != "" {
		return nil
	}
	self, err := user.Current()
	if err != nil || self.Username == s.User {
		return nil
	}
	f := c.finding(block+".user", fmt.Sprintf("%s has no password, and the server lets in nobody without one but the system user %s; this runs as %s", s.User, s.User, self.Username),
		"add "+block+".password_file, or write user: "+self.Username)
	f.Severity = Warning
	return Findings{f}
}

// checkDirectory: there is a directory, or room to make one.
func checkDirectory(dir string) (what, mend string) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return checkDirectory(filepath.Dir(dir))
	case err != nil:
		return fmt.Sprintf("look at %s: %s", dir, cause(err)), "give a directory that can be written to"
	case !info.IsDir():
		return dir + " is no directory", "give another path"
	}
	return "", ""
}

// checkCommands: what is to be started is there.
func (c *Config) checkCommands() Findings {
	if c.Witness() {
		return nil
	}
	block, s := c.ownBlock()
	var found Findings
	for _, k := range []struct {
		key     string
		command []string
	}{{"start", s.Start}, {"stop", s.Stop}} {
		found = append(found, c.checkCommand(block+"."+k.key, k.command)...)
	}
	return found
}

// checkCommand: the program that its first word names is there.
func (c *Config) checkCommand(path string, words []string) Findings {
	if len(words) == 0 {
		return nil
	}
	if _, err := exec.LookPath(words[0]); err != nil {
		return Findings{c.finding(path, fmt.Sprintf("there is no command %s", words[0]), "install it, or give its path")}
	}
	return nil
}

// expiresSoon is how long before its end a certificate is warned of.
const expiresSoon = 60 * 24 * time.Hour

func (c *Config) checkCertificates(now time.Time) Findings {
	var found Findings
	if c.Store.External() {
		if c.Store.TLS != (TLS{}) {
			found = append(found, c.checkTLS("store.tls", c.Store.TLS, nil, now)...)
		}
		if _, said := c.lines["tls"]; !said {
			return found // nothing uses the cluster's own certificates
		}
	}
	self := c.Self()
	return append(found, c.checkTLS("tls", c.TLS, &self, now)...)
}

// checkTLS judges an authority, a certificate and its key. The certificate of a
// node must carry its name and address, and be good for both ends of a
// connection; its key is for nobody but the owner.
func (c *Config) checkTLS(block string, t TLS, node *Node, now time.Time) Findings {
	var found Findings
	report := func(key, what, mend string) { found = append(found, c.finding(block+"."+key, what, mend)) }
	const remake = "make it with `baton init`, or give the right path"
	roots := x509.NewCertPool()
	if t.CA != "" {
		authorities, err := readCertificates(t.CA)
		if err != nil {
			report("ca", err.Error(), remake)
			roots = nil
		}
		for _, a := range authorities {
			if !a.IsCA {
				report("ca", fmt.Sprintf("%s holds the certificate of %s, which is no authority", t.CA, a.Subject.CommonName), "give the file with the authority's certificate")
				roots = nil
				break
			}
			roots.AddCert(a)
		}
	}
	if t.Cert == "" {
		return found
	}
	open := os.FileMode(0o007)
	if node != nil {
		open = 0o077
	}
	if what, mend := checkKeyFile(t.Key, open); what != "" {
		report("key", what, mend)
		if _, err := readCertificates(t.Cert); err != nil {
			report("cert", err.Error(), remake)
		}
		return found
	}
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		report("cert", fmt.Sprintf("%s and %s are no pair: %s", t.Cert, t.Key, cause(err)), remake)
		return found
	}
	for _, f := range judgeCertificate(pair.Leaf, t, roots, node, now) {
		g := c.finding(block+".cert", f.What, f.Mend)
		g.Severity = f.Severity
		found = append(found, g)
	}
	return found
}

func judgeCertificate(leaf *x509.Certificate, t TLS, roots *x509.CertPool, node *Node, now time.Time) Findings {
	var found Findings
	add := func(s Severity, what, mend string) {
		found = append(found, Finding{What: what, Mend: mend, Severity: s})
	}
	day := func(t time.Time) string { return t.UTC().Format(time.DateOnly) }
	switch {
	case now.Before(leaf.NotBefore):
		add(Error, fmt.Sprintf("%s is valid from %s, and here it is %s", t.Cert, day(leaf.NotBefore), day(now)), "set this host's clock")
	case now.After(leaf.NotAfter):
		add(Error, fmt.Sprintf("%s expired on %s", t.Cert, day(leaf.NotAfter)), "make a new one")
	case now.Add(expiresSoon).After(leaf.NotAfter):
		add(Warning, fmt.Sprintf("%s expires on %s", t.Cert, day(leaf.NotAfter)), "make a new one before that")
	}
	if t.CA != "" && roots != nil {
		at := leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2) // its dates are judged above
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			add(Error, fmt.Sprintf("%s is not signed by %s: %s", t.Cert, t.CA, err), "use the authority that made it, or have it made anew")
		}
	}
	if node == nil {
		return found
	}
	if name := string(node.Name); leaf.Subject.CommonName != name || !slices.Contains(leaf.DNSNames, name) {
		add(Error, fmt.Sprintf("%s is the certificate of %q, not of %s", t.Cert, leaf.Subject.CommonName, name), "give this node its own")
	} else if err := leaf.VerifyHostname(node.Address.String()); err != nil {
		add(Error, fmt.Sprintf("%s does not name this node's address %s", t.Cert, node.Address), "make a new one after a change of address")
	}
	for usage, does := range map[x509.ExtKeyUsage]string{x509.ExtKeyUsageServerAuth: "accept", x509.ExtKeyUsageClientAuth: "open"} {
		if !slices.Contains(leaf.ExtKeyUsage, usage) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
			add(Error, fmt.Sprintf("%s may not %s connections", t.Cert, does), "make one for both ends: extended key usage serverAuth and clientAuth")
		}
	}
	slices.SortFunc(found, func(a, b Finding) int { return strings.Compare(a.What, b.What) })
	return found
}

// checkKeyFile: it can be read, and not by those whom the open bits of its mode
// would let in.
func checkKeyFile(file string, open os.FileMode) (what, mend string) {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Sprintf("read %s: %s", file, cause(err)), "make it with `baton init`, or give the right path"
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return fmt.Sprintf("look at %s: %s", file, cause(err)), "give a file that can be read"
	case info.Mode().Perm()&open != 0:
		return fmt.Sprintf("others on this host may open %s (mode %04o)", file, info.Mode().Perm()), "chmod 0600 " + file
	}
	return "", ""
}

// readCertificates reads every certificate in a PEM file; there must be one.
func readCertificates(file string) ([]*x509.Certificate, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %s", file, cause(err))
	}
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		all = append(all, cert)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return all, nil
}
