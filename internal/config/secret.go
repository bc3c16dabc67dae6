package config

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
)

// Secret is a password. However it is printed, logged or encoded, it does not
// show; only Reveal does. The text is behind a pointer because package fmt does
// not ask the methods of a value in an unexported field.
type Secret struct{ text *string }

const hidden = "(secret)"

// NewSecret hides a text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text, for the server alone; that of the zero Secret is
// empty.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Format writes a placeholder, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, hidden) }

// String returns a placeholder.
func (s Secret) String() string { return hidden }

// MarshalText returns a placeholder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue returns a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// Passwords are those that this node needs. A witness has that for probes
// only; an empty one means that the account has none.
type Passwords struct {
	Agent       Secret
	Replication Secret
	Probe       Secret
	Writer      Secret
	Endpoints   []Secret   // of Config.Endpoints, in that order
	Neighbors   [][]Secret // of each endpoint's, in that order
	Notify      []NotifySecrets
}

// Hidden are all of them, for what must not show them.
func (p Passwords) Hidden() []string {
	var all []string
	secrets := append([]Secret{p.Agent, p.Replication, p.Probe, p.Writer}, p.Endpoints...)
	for _, of := range p.Neighbors {
		secrets = append(secrets, of...)
	}
	for _, n := range p.Notify {
		secrets = append(secrets, n.URL, n.Secret, n.Password)
	}
	for _, s := range secrets {
		if s.Reveal() != "" {
			all = append(all, s.Reveal())
		}
	}
	return all
}

// Passwords reads the password files that this node needs.
func (c *Config) Passwords() (Passwords, Findings) {
	var p Passwords
	var found Findings
	block, s := c.ownBlock()
	read := func(into *Secret, key, file string) {
		if file == "" {
			return
		}
		text, what, mend := readPassword(file)
		if what != "" {
			found = append(found, c.finding(block+"."+key, what, mend))
		}
		*into = NewSecret(text)
	}
	read(&p.Probe, "probe.password_file", s.Probe.PasswordFile)
	if !c.Witness() {
		read(&p.Agent, "password_file", s.PasswordFile)
		if s.Writer.PasswordFile == s.Probe.PasswordFile {
			p.Writer = p.Probe
		} else {
			read(&p.Writer, "writer.password_file", s.Writer.PasswordFile)
		}
		read(&p.Replication, "replication.password_file", s.Replication.PasswordFile)
	}
	p.Endpoints = make([]Secret, len(c.Endpoints))
	for i, e := range c.Endpoints {
		if b, _ := c.blockOf(i); b.secret != nil && c.LeadsEndpoint(i) {
			key, file := b.secret(e)
			block = at("endpoints", i, b.kind)
			read(&p.Endpoints[i], key, file)
			if text := p.Endpoints[i].Reveal(); text != "" && !b.holdsKeys(text) {
				found = append(found, c.finding(block+"."+key, file+" does not hold ID:SECRET on one line", "write the ID of the key there, a colon, and the secret"))
			}
		}
	}
	neighbors, bad := c.neighborPasswords()
	p.Neighbors, found = neighbors, append(found, bad...)
	notify, bad := c.NotifySecrets()
	p.Notify = notify
	return p, append(found, bad...).sorted()
}

// NotifySecrets reads the files of notify.targets, in that order.
func (c *Config) NotifySecrets() (all []NotifySecrets, found Findings) {
	for i, t := range c.Notify.Targets {
		var n NotifySecrets
		for _, f := range []struct {
			into      *Secret
			key, file string
		}{{&n.URL, "url_file", t.URLFile}, {&n.Secret, "secret_file", t.SecretFile}, {&n.Password, "password_file", t.PasswordFile}} {
			if f.file == "" {
				continue
			}
			text, what, mend := readPassword(f.file)
			if what != "" {
				found = append(found, c.finding(at("notify.targets", i, f.key), what, mend))
			}
			if f.key == "url_file" && what == "" && !strings.HasPrefix(text, "https://") && !strings.HasPrefix(text, "http://") {
				found = append(found, c.finding(at("notify.targets", i, f.key), f.file+" holds no URL", "write the address there as the chat gives it, on one line"))
			}
			*f.into = NewSecret(text)
		}
		all = append(all, n)
	}
	return all, found
}

// ownBlock is where the file describes this node's server, and the server.
func (c *Config) ownBlock() (path string, s Server) {
	for i, n := range c.Nodes {
		if n.Name == c.Node && n.Server != nil {
			return at("nodes", i, "server"), *n.Server
		}
	}
	return "server", c.Server
}

// finding is an error at a key of the file. A key of a node's own block that
// the file does not say is looked for in the common one.
func (c *Config) finding(path, what, mend string) Finding {
	if _, said := c.lines[path]; !said && pattern(path) != path {
		if _, common := c.lines[pattern(path)]; common {
			path = pattern(path)
		}
	}
	return Finding{File: c.File, Line: c.where(path), Key: path, What: what, Mend: mend, Severity: Error}
}

// maxPassword is how long a password file may be, in bytes.
const maxPassword = 4096

// readPassword returns the one line of a file that not everybody may read.
func readPassword(file string) (text, what, mend string) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe must not hang the agent
	if err != nil {
		return "", fmt.Sprintf("read %s: %s", file, cause(err)), "write the password into it, on one line, with mode 0600"
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", fmt.Sprintf("look at %s: %s", file, cause(err)), "give a file that can be read"
	case !info.Mode().IsRegular():
		return "", file + " is no regular file", "give a file that holds the password on one line"
	case info.Mode().Perm()&0o007 != 0:
		return "", fmt.Sprintf("everybody on this host may open %s (mode %04o)", file, info.Mode().Perm()), "chmod 0600 " + file
	}
	content, err := io.ReadAll(io.LimitReader(f, maxPassword+1))
	if err != nil {
		return "", fmt.Sprintf("read %s: %s", file, cause(err)), "give a file that can be read"
	}
	text = strings.TrimRight(string(content), "\r\n")
	switch {
	case text == "":
		return "", file + " is empty", "write the password into it, on one line"
	case len(content) > maxPassword, strings.ContainsAny(text, "\r\n\x00"):
		return "", file + " holds more than one line", "write the password into it, on one line"
	}
	return text, "", ""
}
