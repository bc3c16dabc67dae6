package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Row is one key with its value in force, for `baton config show`.
type Row struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Source string `json:"source"` // "line 12", "profile fast", "lease / 4", "default"
	Doc    string `json:"doc"`
}

// Rows returns every key with its value and where that comes from, in the
// order of the documentation. Secrets are in files, whose names are shown.
func (c *Config) Rows() []Row {
	var rows []Row
	for _, x := range c.values() {
		source := "default"
		line, said := c.lines[x.path]
		switch {
		case x.v.IsZero() && !x.key.allowsZero():
			continue // it does not apply
		case said:
			source = fmt.Sprintf("line %d", line)
		case strings.HasPrefix(pattern(x.path), "server.") && strings.HasPrefix(x.path, "nodes["):
			continue // as in the common block
		case x.key.Rule != "":
			source = x.key.Rule
		case x.key.Fast != x.key.Balanced || x.key.Balanced != x.key.WAN:
			source = "profile " + string(c.Profile)
		}
		rows = append(rows, Row{Key: x.named, Value: write(x.v), Source: source, Doc: x.key.Doc})
	}
	return rows
}

// value is one single value of a Config.
type value struct {
	path  string // nodes[1].role
	named string // nodes[db2].role
	key   Key
	v     reflect.Value
}

// values are all single values, in the order of the file.
func (c *Config) values() []value {
	var all []value
	t := newTable()
	each(reflect.ValueOf(c).Elem(), "", func(path string, v reflect.Value) {
		if k, ok := t.row(path); ok && c.applies(path) {
			all = append(all, value{path: path, named: c.named(path), key: k, v: v})
		}
	})
	return all
}

// applies reports whether a key has a meaning here: of an endpoint, its own kind's do.
func (c *Config) applies(path string) bool {
	if !strings.HasPrefix(path, "endpoints[") {
		return true
	}
	for i := range c.Endpoints {
		rest, its := strings.CutPrefix(path, at("endpoints", i, "")+".")
		block, _, inside := strings.Cut(rest, ".")
		if its && inside {
			return block == c.KindOf(i)
		}
	}
	return true
}

// named writes a node's name in place of its place in the list, so that a
// reordered list is no change.
func (c *Config) named(path string) string {
	for i, n := range c.Nodes {
		if rest, ok := strings.CutPrefix(path, at("nodes", i, "")); ok {
			return "nodes[" + string(n.Name) + "]" + rest
		}
	}
	for list, all := range map[string][]Address{"addresses": c.Addresses, "readers.addresses": c.Readers.Addresses} {
		for i, a := range all {
			if rest, ok := strings.CutPrefix(path, at(list, i, "")); ok {
				return list + "[" + a.Address.String() + "]" + rest
			}
		}
	}
	return path
}

// Hash identifies everything that must be the same on every node, in 16
// hexadecimal digits: the protocol's settings, the order of sites, the virtual
// addresses and where the nodes are. The order of nodes and of virtual
// addresses, and how a value came about, make no difference.
func (c *Config) Hash() string {
	var lines []string
	for _, x := range c.values() {
		if x.key.Same {
			lines = append(lines, x.named+"="+write(x.v)+"\n")
		}
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return hex.EncodeToString(sum[:8])
}

// YAML writes the configuration in force, every default included, in a form
// that Parse reads.
func (c *Config) YAML() ([]byte, error) {
	b, err := yaml.Marshal(c.tree())
	if err != nil {
		return nil, fmt.Errorf("write the configuration of %s as YAML: %w", c.Cluster, err)
	}
	return b, nil
}

// String is the configuration in force as YAML. There are no secrets in it.
func (c *Config) String() string {
	b, err := c.YAML()
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// MarshalJSON writes the configuration in force with the keys of the file;
// durations as text. There are no secrets in it.
func (c *Config) MarshalJSON() ([]byte, error) {
	var plain map[string]any
	if err := c.tree().Decode(&plain); err != nil {
		return nil, fmt.Errorf("write the configuration of %s as JSON: %w", c.Cluster, err)
	}
	return json.Marshal(plain)
}

// tree is the configuration as YAML, without what is empty and what does not apply.
func (c *Config) tree() *yaml.Node {
	all := newTable().tree(reflect.ValueOf(c).Elem(), "")
	for k := 0; k < len(all.Content); k += 2 {
		if all.Content[k].Value != "endpoints" {
			continue
		}
		for i, e := range all.Content[k+1].Content {
			e.Content = without(e.Content, func(key string) bool {
				return slices.Contains(EndpointKinds(), key) && key != c.KindOf(i)
			})
		}
	}
	return all
}

// without leaves keys out of a mapping, with their values.
func without(content []*yaml.Node, out func(key string) bool) (kept []*yaml.Node) {
	for k := 0; k < len(content); k += 2 {
		if !out(content[k].Value) {
			kept = append(kept, content[k], content[k+1])
		}
	}
	return kept
}

// tree is a block as YAML, without what is empty.
func (t table) tree(v reflect.Value, path string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	add := func(key string, value *yaml.Node) {
		name := &yaml.Node{}
		name.SetString(key)
		n.Content = append(n.Content, name, value)
	}
	typ := v.Type()
	for i := range typ.NumField() {
		key := typ.Field(i).Tag.Get("key")
		field := v.Field(i)
		if key == "" || field.Kind() == reflect.Pointer && field.IsNil() {
			continue
		}
		if field.Kind() == reflect.Pointer {
			field = field.Elem()
		}
		if leaf := t.branch(field, join(path, key)); leaf != nil {
			add(key, leaf)
		}
	}
	return n
}

// branch is one field as YAML; nil if it is empty.
func (t table) branch(v reflect.Value, path string) *yaml.Node {
	switch {
	case isBlock(v.Type()):
		if n := t.tree(v, path); len(n.Content) > 0 {
			return n
		}
		return nil
	case v.Kind() == reflect.Slice && v.Len() == 0:
		return nil
	case v.Kind() == reflect.Slice && isBlock(v.Type().Elem()):
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			list.Content = append(list.Content, t.tree(v.Index(i), path))
		}
		return list
	case v.Kind() == reflect.Slice:
		list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for i := range v.Len() {
			list.Content = append(list.Content, quoted(v.Index(i).String()))
		}
		return list
	case v.Kind() == reflect.String || v.Type() == reflect.TypeFor[netip.Addr]():
		if text := write(v); text != "" {
			return quoted(text)
		}
		return nil
	}
	if k, _ := t.row(path); v.IsZero() && !k.allowsZero() {
		return nil // it does not apply
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: write(v)}
}

// quoted is a text that is read back as text.
func quoted(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	n.Tag = "!!str"
	return n
}

// Witness reports whether this node has no server.
func (c *Config) Witness() bool { return c.Self().Role == cluster.Witness }
