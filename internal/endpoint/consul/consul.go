// Package consul answers which primary a key in a Consul names, and makes it name
// another: what watches the key (consul-template, applications) follows.
//
// It speaks Consul's HTTP API for keys and values, needs no agent on this host
// and registers no service. The rule: a value of a newer reign is never
// overwritten; a write names the ModifyIndex that was read (check-and-set).
package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/httpcall"
)

// Options say which key of which Consul it is.
type Options struct {
	URLs       []string // tried one after the other
	Key        string
	Token      string // of its access control; empty: anonymous
	Datacenter string // empty: that of the server asked
	Client     httpcall.Client
	Cluster    string // Baton's, written into the value
}

// Endpoint is one key. It implements endpoint.Endpoint.
type Endpoint struct {
	endpoint.InCell
	o Options
}

// Open prepares the use of a key. It connects to nobody.
func Open(name string, o Options) *Endpoint {
	e := &Endpoint{o: o}
	e.InCell = endpoint.InCell{Name: name, Key: o.Key, Cluster: o.Cluster, Cell: e}
	return e
}

// Read implements endpoint.Cell with a consistent read: the leader has made sure
// that it still is one. The revision of a key that is not there is 0.
func (e *Endpoint) Read(ctx context.Context) ([]byte, int64, error) {
	answer, err := e.ask(ctx, http.MethodGet, "consistent", nil)
	var status *httpcall.StatusError
	switch {
	case errors.As(err, &status) && status.Status == http.StatusNotFound:
		return nil, 0, nil
	case err != nil:
		return nil, 0, err
	}
	var entries []struct {
		ModifyIndex int64
		Value       []byte // base64; null if it is empty
	}
	if err := json.Unmarshal(answer, &entries); err != nil || len(entries) != 1 {
		return nil, 0, fmt.Errorf("the answer %q is not one entry of Consul's", httpcall.Excerpt(answer, nil))
	}
	return append([]byte{}, entries[0].Value...), entries[0].ModifyIndex, nil
}

// Swap implements endpoint.Cell.
func (e *Endpoint) Swap(ctx context.Context, text []byte, revision int64) (bool, error) {
	answer, err := e.ask(ctx, http.MethodPut, "cas="+strconv.FormatInt(revision, 10), text)
	if err != nil {
		return false, err
	}
	switch string(answer) {
	case "true", "true\n":
		return true, nil
	case "false", "false\n":
		return false, nil
	}
	return false, fmt.Errorf("the answer %q to a write is neither true nor false", httpcall.Excerpt(answer, nil))
}

// ask puts one question about the key to the first server that has an answer of
// its own: one that cannot be reached or that has no leader (500) is passed over.
// A write goes on to the next one, too: it names what it replaces, and happens once.
func (e *Endpoint) ask(ctx context.Context, method, query string, body []byte) ([]byte, error) {
	header := http.Header{}
	if e.o.Token != "" {
		header.Set("X-Consul-Token", e.o.Token)
	}
	if e.o.Datacenter != "" {
		query += "&dc=" + url.QueryEscape(e.o.Datacenter)
	}
	var errs []error
	for i, server := range e.o.URLs {
		at := strings.TrimSuffix(server, "/") + "/v1/kv/" + (&url.URL{Path: strings.TrimPrefix(e.o.Key, "/")}).EscapedPath() + "?" + query
		part, cancel := endpoint.Share(ctx, len(e.o.URLs)-i)
		answer, err := e.o.Client.Do(part, httpcall.Request{Method: method, URL: at, Header: header, Body: body, Hidden: []string{e.o.Token}})
		cancel()
		var status *httpcall.StatusError
		if err == nil || errors.As(err, &status) && status.Status < http.StatusInternalServerError {
			return answer, err
		}
		if errs = append(errs, err); ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}
