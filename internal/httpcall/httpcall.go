// Package httpcall answers what an HTTP server outside of the cluster says to one
// request: a config store's API, a webhook, a chat's robot.
//
// It keeps no connection and starts nothing that outlives a call; it decides
// nothing and tries nothing twice. The rule: no error and no answer shows a
// secret, which such URLs carry in their paths and queries, and no request goes
// to another host than the one that was named.
package httpcall

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Request is one question.
type Request struct {
	Method string
	URL    string
	Header http.Header
	Body   []byte
	// Hidden are texts that no error shows, whoever says them.
	Hidden []string
}

// Client asks. The zero Client trusts the authorities that the host trusts.
type Client struct {
	TLS *tls.Config
	// Direct asks without the proxy that the environment names.
	Direct bool
}

// answerLimit bounds what is read of an answer, in bytes.
const answerLimit = 1 << 20

// Do returns what the server answered. A status other than 2xx is a *StatusError.
func (c Client) Do(ctx context.Context, q Request) ([]byte, error) {
	host, err := hostOf(q.URL)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, q.Method, q.URL, bytes.NewReader(q.Body))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", host, withoutURL(err))
	}
	for name, values := range q.Header {
		request.Header[name] = values
	}
	if h := q.Header.Get("Host"); h != "" {
		request.Host = h
	}
	// A connection of its own for each call: one that has died unnoticed would cost
	// the next call its whole time.
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: c.TLS, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	if c.Direct {
		transport.Proxy = nil
	}
	client := http.Client{Transport: transport, CheckRedirect: sameHost}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", host, &hiding{withoutURL(err), q.Hidden})
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", host, &hiding{err, q.Hidden})
	}
	if response.StatusCode/100 != 2 {
		return nil, &StatusError{Host: host, Status: response.StatusCode, Said: Excerpt(answer, q.Hidden), Answer: answer, After: retryAfter(response.Header), Elsewhere: elsewhere(response)}
	}
	return answer, nil
}

// hostOf is what may be shown of an URL: the rest of it may hold a token.
func hostOf(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", errors.New("the address to ask is no URL with http:// or https://")
	}
	return u.Scheme + "://" + u.Host, nil
}

// withoutURL takes the URL out of an error of package http.
func withoutURL(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}

// sameHost follows a redirect only where the same request goes to the same host
// again: a POST must not become a GET, whose success would say nothing.
func sameHost(next *http.Request, before []*http.Request) error {
	first := before[0]
	if len(before) > 3 || next.URL.Host != first.URL.Host || next.URL.Scheme != first.URL.Scheme || next.Method != first.Method {
		return http.ErrUseLastResponse
	}
	return nil
}

// elsewhere is the host that an answer sends to, if it does.
func elsewhere(r *http.Response) string {
	to, err := r.Location()
	if err != nil || r.StatusCode/100 != 3 {
		return ""
	}
	return to.Scheme + "://" + to.Host
}

// StatusError is an answer other than 2xx.
type StatusError struct {
	Host   string
	Status int
	Said   string // the beginning of the body, without secrets
	Answer []byte // the body, for whoever can read it; it may repeat a secret
	// After is how long the server wants not to be asked again; 0: it does not say.
	After time.Duration
	// Elsewhere is where a redirect leads that was not followed.
	Elsewhere string
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s answers %d %s", e.Host, e.Status, http.StatusText(e.Status))
	if e.Elsewhere != "" {
		return text + ": it leads to " + e.Elsewhere + ", which is not followed"
	}
	if e.Said != "" {
		text += ": " + e.Said
	}
	if e.After > 0 {
		text += fmt.Sprintf(" (not to be asked again for %s)", e.After)
	}
	return text
}

// RetryAfter is how long the server wants not to be asked again.
func (e *StatusError) RetryAfter() time.Duration { return e.After }

// retryAfter reads Retry-After (RFC 9110, section 10.2.3). A date counts from the
// server's own, so that nobody's clock need be right.
func retryAfter(h http.Header) time.Duration {
	said := h.Get("Retry-After")
	if s, err := strconv.Atoi(said); err == nil && s > 0 {
		return time.Duration(min(s, 1<<20)) * time.Second
	}
	until, err := http.ParseTime(said)
	if err != nil {
		return 0
	}
	from, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return max(until.Sub(from), 0)
}

// Excerpt is the beginning of a text from outside, on one line and without the
// hidden texts.
func Excerpt(b []byte, hidden []string) string {
	const most = 200
	text := Hide(strings.Join(strings.Fields(strings.ToValidUTF8(string(b), "?")), " "), hidden)
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// Hide replaces the hidden texts, also where they are encoded as in a URL.
func Hide(text string, hidden []string) string {
	for _, h := range hidden {
		if h == "" {
			continue
		}
		for _, form := range []string{h, url.QueryEscape(h), url.PathEscape(h)} {
			text = strings.ReplaceAll(text, form, "(secret)")
		}
	}
	return text
}

// hiding is an error whose text shows no secret.
type hiding struct {
	err    error
	hidden []string
}

func (h *hiding) Error() string { return Hide(h.err.Error(), h.hidden) }
func (h *hiding) Unwrap() error { return h.err }
