package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile is how long a configuration file may be, in bytes.
const maxFile = 1 << 20

// Load reads one file and judges it. The Config is nil if any finding is an
// error; warnings may come with it.
func Load(path string) (*Config, Findings) {
	f, err := os.Open(path)
	if err != nil {
		return nil, Findings{{File: path, What: cause(err), Mend: "give the file with --config, or make one with `baton init`", Severity: Error}}
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, Findings{{File: path, What: "read it: " + cause(err), Mend: "give the path of a file that can be read", Severity: Error}}
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, Findings{{File: path, What: "find its directory: " + err.Error(), Mend: "give an absolute path", Severity: Error}}
	}
	return parse(path, dir, content)
}

// cause is an error without the path, which stands beside it already.
func cause(err error) string {
	if p := (*os.PathError)(nil); errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// Parse judges the content of a file. Paths in it count from the directory of
// file, which is not looked at.
func Parse(file string, content []byte) (*Config, Findings) {
	return parse(file, filepath.Dir(file), content)
}

func parse(file, dir string, content []byte) (*Config, Findings) {
	l := &loader{file: file, cfg: &Config{File: file, dir: dir, lines: map[string]int{}}, table: newTable(), bad: map[string]bool{}, empty: map[string]bool{}}
	if root := l.document(content); root != nil {
		l.mapping(root, reflect.ValueOf(l.cfg).Elem(), "")
		l.defaults()
		l.ownServers()
		l.judge()
	}
	l.found.sorted()
	if l.cfg.Store.External() {
		l.cfg.Store.PeerPort, l.cfg.Store.Heartbeat, l.cfg.Store.Election = 0, 0, 0
	}
	if len(l.found.Errors()) > 0 {
		return nil, l.found
	}
	return l.cfg, l.found
}

// loader is one file on its way to a Config.
type loader struct {
	file  string
	cfg   *Config
	table table
	found Findings
	// bad are the paths that could not be read. They hold their default, so
	// that the rest can be judged, and nothing more is said about them.
	bad map[string]bool
	// empty are the keys without a value: they have their default.
	empty map[string]bool
	own   []ownServer
}

// report notes an error at a path.
func (l *loader) report(path, what, mend string) { l.note(Error, path, what, mend) }

// warn notes something at a path that a person may not have meant.
func (l *loader) warn(path, what, mend string) { l.note(Warning, path, what, mend) }

func (l *loader) note(s Severity, path, what, mend string) {
	for p := path; p != ""; p = parent(p) {
		if l.bad[p] {
			return
		}
	}
	l.found = append(l.found, Finding{File: l.file, Line: l.cfg.where(path), Key: path, What: what, Mend: mend, Severity: s})
}

// unreadable notes a value that is left at its default.
func (l *loader) unreadable(path, what, mend string) {
	l.report(path, what, mend)
	l.bad[path] = true
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// document returns the top-level mapping of the file.
func (l *loader) document(content []byte) *yaml.Node {
	whole := func(line int, what, mend string) *yaml.Node {
		l.found = append(l.found, Finding{File: l.file, Line: line, What: what, Mend: mend, Severity: Error})
		return nil
	}
	if len(content) > maxFile {
		return whole(0, fmt.Sprintf("the file is longer than %d bytes", maxFile), "give the path of a baton.yaml")
	}
	dec := yaml.NewDecoder(bytes.NewReader(content))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return whole(0, "the file is empty", "make one with `baton init`")
	case err != nil:
		m := yamlLine.FindStringSubmatch(err.Error())
		line := 0
		if m != nil {
			line, _ = strconv.Atoi(m[1])
		}
		return whole(line, "this is no YAML: "+yamlLine.ReplaceAllString(err.Error(), ""), "mend this line or the one before it; indent with spaces")
	case dec.Decode(&more) == nil:
		return whole(more.Line, "a second document begins here", "write one file per cluster")
	}
	root := resolve(&doc)
	if root.Kind == yaml.DocumentNode && len(root.Content) > 0 {
		root = resolve(root.Content[0])
	}
	if root.Kind != yaml.MappingNode {
		return whole(root.Line, "the file holds no keys", "make one with `baton init`")
	}
	return root
}

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// mapping reads the keys of n into the struct v, which stands at path.
func (l *loader) mapping(n *yaml.Node, v reflect.Value, path string) {
	seen := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		full := join(path, name.Value)
		if line, twice := seen[name.Value]; twice {
			l.found = append(l.found, Finding{File: l.file, Line: name.Line, Key: full, What: fmt.Sprintf("stands here for a second time, after line %d", line), Mend: "keep one of them", Severity: Error})
			continue
		}
		seen[name.Value] = name.Line
		field, ok := fieldOf(v, name.Value)
		if !ok || name.Kind != yaml.ScalarNode {
			l.found = append(l.found, Finding{File: l.file, Line: name.Line, Key: full, What: "there is no such key", Mend: l.meant(path, name.Value, v.Type()), Severity: Error})
			continue
		}
		l.cfg.lines[full] = name.Line
		if value = resolve(value); isNull(value) {
			l.empty[full] = true
			continue
		}
		l.value(value, field, full)
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// value reads one value into v. A key without a value has its default.
func (l *loader) value(n *yaml.Node, v reflect.Value, path string) {
	switch {
	case v.Type() == reflect.TypeFor[*Server]():
		// Read last, over the common block.
		if n.Kind != yaml.MappingNode {
			l.unreadable(path, "holds no keys", "write it like server: {port: 3307}")
			return
		}
		l.own = append(l.own, ownServer{node: n, into: v, path: path})
	case isBlock(v.Type()):
		if n.Kind != yaml.MappingNode {
			l.unreadable(path, "holds no keys", "it is a block of keys: "+names(v.Type(), ", "))
			return
		}
		l.mapping(n, v, path)
	case v.Kind() == reflect.Slice && isBlock(v.Type().Elem()):
		l.blocks(n, v, path)
	case v.Kind() == reflect.Slice:
		l.words(n, v, path)
	default:
		l.scalar(n, v, path)
	}
}

// blocks reads a list of mappings.
func (l *loader) blocks(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		l.unreadable(path, "is no list", "begin each entry with a dash: - {"+names(v.Type().Elem(), ": …, ")+": …}")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		entry := at(path, i, "")
		l.cfg.lines[entry] = item.Line
		if item = resolve(item); item.Kind != yaml.MappingNode {
			l.unreadable(entry, "holds no keys", "write it like {"+names(v.Type().Elem(), ": …, ")+": …}")
			continue
		}
		l.mapping(item, v.Index(i), entry)
	}
}

// words reads a list of texts.
func (l *loader) words(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		mend := "write it as a list"
		if n.Kind == yaml.ScalarNode {
			mend += ": [" + strings.Join(strings.Fields(n.Value), ", ") + "]"
		}
		l.unreadable(path, "is no list", mend)
		return
	}
	list := make([]string, 0, len(n.Content))
	for i, item := range n.Content {
		l.cfg.lines[at(path, i, "")] = item.Line
		if item = resolve(item); item.Kind != yaml.ScalarNode || isNull(item) {
			l.unreadable(at(path, i, ""), "is no word", "write plain words, separated by commas")
			continue
		}
		list = append(list, item.Value)
	}
	v.Set(reflect.ValueOf(list))
}

// scalar reads one plain value.
func (l *loader) scalar(n *yaml.Node, v reflect.Value, path string) {
	k, _ := l.table.row(path)
	if n.Kind != yaml.ScalarNode {
		l.unreadable(path, "is no single value", "write it like "+k.Name()+": "+k.sample())
		return
	}
	if what, mend := k.assign(v, n.Value, n.ShortTag() == "!!str"); what != "" {
		l.unreadable(path, what, mend)
	}
}

// ownServer is a node's own server block, kept until the common one is known.
type ownServer struct {
	node *yaml.Node
	into reflect.Value
	path string
}

// ownServers lays the nodes' own server blocks over the common one.
func (l *loader) ownServers() {
	for _, o := range l.own {
		own := *l.cfg
		block := reflect.ValueOf(&own.Server).Elem()
		l.mapping(o.node, block, o.path)
		// What follows from other keys of the block follows from its own.
		each(block, "server", func(path string, v reflect.Value) {
			k := l.table[path]
			if k.from != nil && !l.said(path) && !l.said(o.path+strings.TrimPrefix(path, "server")) {
				k.assign(v, k.from(&own), false)
			}
		})
		l.absolute(block, "server")
		o.into.Set(reflect.ValueOf(&own.Server))
	}
}
