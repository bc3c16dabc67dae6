// Package render answers what a person's template makes of a cluster: the body of
// a webhook, the file of a proxy.
//
// It reads no file and calls nobody. The rule: a template that parses here, and
// renders its sample, renders any cluster; what is wrong with one is said when the
// configuration is read, not in the middle of a switch.
package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"text/template"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Server is a node's database server.
type Server struct {
	Node    cluster.NodeName
	Address netip.Addr
	Port    int
}

// HostPort is the address with the port, IPv6 in brackets.
func (s Server) HostPort() string {
	return netip.AddrPortFrom(s.Address, uint16(s.Port)).String()
}

// Data is what templates see.
type Data struct {
	Cluster string
	Epoch   cluster.Epoch
	Primary Server
	// Replicas are all other data nodes, as configured: whether one is well is not
	// known here.
	Replicas []Server
	Planned  bool
	// Value is the JSON that names the primary in config stores.
	Value string
}

// Among makes the data of a primary and the others among all servers.
func Among(all []Server, name string, epoch cluster.Epoch, primary Server, planned bool) Data {
	d := Data{Cluster: name, Epoch: epoch, Primary: primary, Planned: planned}
	for _, s := range all {
		if s.Node != primary.Node {
			d.Replicas = append(d.Replicas, s)
		}
	}
	return d
}

// sample is what a template is tried with.
func sample() Data {
	at := func(node, address string) Server {
		return Server{Node: cluster.NodeName(node), Address: netip.MustParseAddr(address), Port: 3306}
	}
	return Data{Cluster: "shop", Epoch: 7, Primary: at("db1", "10.77.0.11"), Value: "{}",
		Replicas: []Server{at("db2", "10.77.0.12"), at("db3", "10.77.0.13")}}
}

// Template makes text of Data. Beside what text/template brings along (urlquery,
// printf …) it knows json, the JSON of anything, and secret, what the secret file
// holds.
type Template struct{ parsed *template.Template }

// maxText bounds what a template makes, in bytes.
const maxText = 1 << 20

// Parse reads a template and tries it.
func Parse(text, secret string) (Template, error) {
	parsed, err := template.New("template").Option("missingkey=error").Funcs(template.FuncMap{
		"json": func(v any) (string, error) {
			b, err := json.Marshal(v)
			return string(b), err
		},
		"secret": func() string { return secret },
		"join":   strings.Join,
	}).Parse(text)
	if err != nil {
		return Template{}, plain(err)
	}
	t := Template{parsed}
	_, err = t.Text(sample())
	return t, err
}

// Text is what the template makes of d.
func (t Template) Text(d Data) (string, error) {
	var b limited
	if err := t.parsed.Execute(&b, d); err != nil {
		return "", plain(err)
	}
	return b.String(), nil
}

// plain is an error of package template without its own name for it.
func plain(err error) error {
	return errors.New(strings.TrimPrefix(strings.TrimPrefix(err.Error(), "template: "), "template:"))
}

// limited is a buffer that fails once it is full: a loop in a template ends.
type limited struct{ bytes.Buffer }

func (l *limited) Write(b []byte) (int, error) {
	if l.Len()+len(b) > maxText {
		return 0, fmt.Errorf("it makes more than %d bytes", maxText)
	}
	return l.Buffer.Write(b)
}
