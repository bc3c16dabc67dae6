package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/httpcall"
	"github.com/baton-db/baton/internal/render"
)

// Look says where it is asked which node is primary, and where in the answer that
// stands. At most one of JSON and Match is given; without, the answer is it.
type Look struct {
	URL string
	// JSON is a pointer into the answer (RFC 6901), such as /data/value.
	JSON string
	// Match is a regular expression with one group.
	Match string
}

// look is a Look that has been read.
type look struct {
	url     render.Template
	pointer string
	match   *regexp.Regexp
}

func openLook(o Options) (*look, error) {
	if o.Observe.URL == "" {
		return nil, nil
	}
	url, err := render.Parse(o.Observe.URL, o.Secret)
	if err != nil {
		return nil, fmt.Errorf("the URL that is asked: %w", err)
	}
	l := &look{url: url, pointer: o.Observe.JSON}
	if o.Observe.Match != "" {
		if l.match, err = regexp.Compile(o.Observe.Match); err != nil {
			return nil, fmt.Errorf("what is looked for in the answer: %w", err)
		}
	}
	return l, nil
}

// Observe implements endpoint.Endpoint: it asks. What is not there (404) leads
// nowhere; an answer that names no node of this cluster is endpoint.ErrForeign.
func (e *Endpoint) Observe(ctx context.Context) (endpoint.Target, error) {
	if e.look == nil {
		return endpoint.Target{}, endpoint.ErrUnseen
	}
	answer, err := e.ask(ctx, http.MethodGet, e.look.url, nil, render.Data{Cluster: e.o.Cluster})
	var status *httpcall.StatusError
	switch {
	case errors.As(err, &status) && status.Status == http.StatusNotFound:
		return endpoint.Target{}, nil
	case err != nil:
		return endpoint.Target{}, err
	}
	said, err := e.look.find(answer)
	if err != nil {
		return endpoint.Target{}, fmt.Errorf("the answer %q: %w: %w", httpcall.Excerpt(answer, e.hidden()), err, endpoint.ErrForeign)
	}
	return e.named(said)
}

// find is the part of an answer that names the primary.
func (l *look) find(answer []byte) (string, error) {
	switch {
	case l.match != nil:
		found := l.match.FindSubmatch(answer)
		if found == nil {
			return "", fmt.Errorf("nothing in it matches %s", l.match)
		}
		return string(found[1]), nil
	case l.pointer != "":
		var all any
		if err := json.Unmarshal(answer, &all); err != nil {
			return "", err
		}
		return at(all, l.pointer)
	}
	return strings.TrimSpace(string(answer)), nil
}

var unescaped = strings.NewReplacer("~1", "/", "~0", "~")

// at follows a JSON pointer. A text is returned as it is, anything else as JSON.
func at(v any, pointer string) (string, error) {
	for _, step := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		step = unescaped.Replace(step)
		var next any
		ok := false
		switch x := v.(type) {
		case map[string]any:
			next, ok = x[step]
		case []any:
			if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(x) {
				next, ok = x[i], true
			}
		}
		if !ok {
			return "", fmt.Errorf("there is no %q in it, of %s", step, pointer)
		}
		v = next
	}
	if text, ok := v.(string); ok {
		return text, nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}

// named is the node that a text stands for: Baton's own value, a node's name, or
// its address with or without the port.
func (e *Endpoint) named(text string) (endpoint.Target, error) {
	var v endpoint.Value
	if err := json.Unmarshal([]byte(text), &v); err == nil && v.Cluster == e.o.Cluster {
		return v.Target(), nil
	}
	if text == "" {
		return endpoint.Target{}, nil
	}
	address, port := text, 0
	if p, err := netip.ParseAddrPort(text); err == nil {
		address, port = p.Addr().String(), int(p.Port())
	}
	for _, s := range e.o.Servers {
		if string(s.Node) == text || s.Address.String() == address && (port == 0 || port == s.Port) {
			return endpoint.Target{Node: s.Node, Addresses: []netip.Addr{s.Address}, Port: s.Port}, nil
		}
	}
	return endpoint.Target{}, fmt.Errorf("it names %q, which is no node of this cluster: %w", httpcall.Excerpt([]byte(text), e.hidden()), endpoint.ErrForeign)
}
