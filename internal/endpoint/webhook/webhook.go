// Package webhook answers how something that takes HTTP requests is told which
// node is primary: a config centre's API, the control plane of a proxy, a script
// behind a web server.
//
// It signs what it sends, follows nobody to another host and shows no secret. The
// rule: where it leads is what the observe URL answers now; without such a URL
// nobody can say, and Observe says that (endpoint.ErrUnseen) instead of repeating
// what was sent.
package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/httpcall"
	"github.com/baton-db/baton/internal/render"
)

// Options say what is sent where. Texts are templates of package render.
type Options struct {
	Requests []Request // one after the other; each after the success of the one before
	Headers  []string  // of all of them: "Name: value"
	Observe  Look      // zero: it cannot be asked
	Secret   string
	// Sign has every request carry a signature (httpcall.Signature), if there is a secret.
	Sign    bool
	Cluster string
	Servers []render.Server // of all data nodes
	Client  httpcall.Client
	Now     func() time.Time // the wall clock, which signatures carry
}

// Request is one of them.
type Request struct {
	URL    string
	Method string
	Body   string
	Expect string // a regular expression that the answer has to match; empty: any 2xx
}

// Endpoint is one webhook. It implements endpoint.Endpoint.
type Endpoint struct {
	name     string
	o        Options
	requests []request
	headers  []header
	look     *look

	mu    sync.Mutex
	guard endpoint.EpochGuard
}

type request struct {
	method    string
	url, body render.Template
	expect    *regexp.Regexp
}

type header struct {
	name  string
	value render.Template
}

// Open prepares a webhook. It calls nobody.
func Open(name string, o Options) (*Endpoint, error) {
	e := &Endpoint{name: name, o: o}
	for i, r := range o.Requests {
		url, err := render.Parse(r.URL, o.Secret)
		if err != nil {
			return nil, fmt.Errorf("the URL of request %d: %w", i+1, err)
		}
		body, err := render.Parse(r.Body, o.Secret)
		if err != nil {
			return nil, fmt.Errorf("the body of request %d: %w", i+1, err)
		}
		expect, err := regexp.Compile(r.Expect)
		if err != nil {
			return nil, fmt.Errorf("what request %d expects: %w", i+1, err)
		}
		e.requests = append(e.requests, request{r.Method, url, body, expect})
	}
	for _, h := range o.Headers {
		name, value, err := SplitHeader(h)
		if err != nil {
			return nil, err
		}
		text, err := render.Parse(value, o.Secret)
		if err != nil {
			return nil, fmt.Errorf("the header %s: %w", name, err)
		}
		e.headers = append(e.headers, header{name, text})
	}
	var err error
	e.look, err = openLook(o)
	return e, err
}

// SplitHeader takes "Name: value" apart.
func SplitHeader(text string) (name, value string, err error) {
	name, value, ok := strings.Cut(text, ":")
	if !ok || name == "" || strings.ContainsAny(name, " \t\r\n") {
		return "", "", fmt.Errorf("%q is no header: write it as Name: value", text)
	}
	return textproto.CanonicalMIMEHeaderKey(name), strings.TrimSpace(value), nil
}

// Set implements endpoint.Endpoint. What leads there already is not told again; what
// cannot be asked is told.
func (e *Endpoint) Set(ctx context.Context, target endpoint.Target) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	err := e.guard.Pass(e.name, target.Epoch)
	e.mu.Unlock()
	if err != nil {
		return err
	}
	if e.look != nil {
		have, err := e.Observe(ctx)
		switch {
		case err != nil: // setting it may mend that
		case have.Epoch > target.Epoch:
			return &endpoint.OldEpochError{Endpoint: e.name, Asked: target.Epoch, Known: have.Epoch}
		case have.LeadsTo(target) && (have.Epoch == target.Epoch || have.Epoch == 0):
			return nil
		}
	}
	data, err := e.data(target)
	if err != nil {
		return err
	}
	for i, r := range e.requests {
		if err := e.send(ctx, r, data); err != nil {
			if len(e.requests) > 1 {
				return fmt.Errorf("request %d of %d: %w", i+1, len(e.requests), err)
			}
			return err
		}
	}
	return nil
}

func (e *Endpoint) data(target endpoint.Target) (render.Data, error) {
	value := endpoint.ValueOf(e.o.Cluster, target)
	text, err := json.Marshal(value)
	if err != nil {
		return render.Data{}, fmt.Errorf("encode the value: %w", err)
	}
	primary := render.Server{Node: target.Node, Address: value.Address, Port: target.Port}
	d := render.Among(e.o.Servers, e.o.Cluster, target.Epoch, primary, target.Planned)
	d.Value = string(text)
	return d, nil
}

func (e *Endpoint) send(ctx context.Context, r request, d render.Data) error {
	body, err := r.body.Text(d)
	if err != nil {
		return fmt.Errorf("render the body: %w", err)
	}
	answer, err := e.ask(ctx, r.method, r.url, []byte(body), d)
	if err != nil {
		return err
	}
	if !r.expect.Match(answer) {
		return fmt.Errorf("the answer %q is not as expected (%s)", httpcall.Excerpt(answer, e.hidden()), r.expect)
	}
	return nil
}

func (e *Endpoint) hidden() []string { return []string{e.o.Secret} }

// ask puts one request, with all headers and signed.
func (e *Endpoint) ask(ctx context.Context, method string, at render.Template, body []byte, d render.Data) ([]byte, error) {
	url, err := at.Text(d)
	if err != nil {
		return nil, fmt.Errorf("render the URL: %w", err)
	}
	h := http.Header{}
	for _, x := range e.headers {
		value, err := x.value.Text(d)
		if err != nil {
			return nil, fmt.Errorf("render the header %s: %w", x.name, err)
		}
		h.Set(x.name, value)
	}
	if e.o.Sign && e.o.Secret != "" {
		now := strconv.FormatInt(e.o.Now().Unix(), 10)
		h.Set(httpcall.HeaderTime, now)
		h.Set(httpcall.HeaderSignature, httpcall.Signature(e.o.Secret, now, body))
	}
	return e.o.Client.Do(ctx, httpcall.Request{Method: method, URL: url, Header: h, Body: body, Hidden: e.hidden()})
}
