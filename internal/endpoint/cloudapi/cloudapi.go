// Package cloudapi answers what a cloud vendor's API says to one request: AWS,
// Alibaba Cloud, Tencent Cloud, Cloudflare.
//
// It knows how each is addressed, signed (package sign) and asked, and what its
// errors mean to a person; it knows nothing of names, addresses or primaries, and
// asks nothing twice. The rule: no error shows a secret, and every error that the
// vendor documents says in plain words what is to be done about it.
package cloudapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/endpoint/sign"
	"github.com/baton-db/baton/internal/httpcall"
)

// Access is how a vendor is reached, and as whom.
type Access struct {
	// URL takes the place of the vendor's own, as in a private cloud; empty: that.
	URL    string
	Client httpcall.Client
	Keys   Keyring
	// Wall reads the wall clock, which signatures go by; nil: time.Now.
	Wall func() time.Time
}

func (a Access) now() time.Time {
	if a.Wall == nil {
		return time.Now()
	}
	return a.Wall()
}

// base is where requests go, and the host that they are signed for.
func (a Access) base(own string) (base, host string) {
	base = strings.TrimSuffix(own, "/")
	if a.URL != "" {
		base = strings.TrimSuffix(a.URL, "/")
	}
	_, host, _ = strings.Cut(base, "://")
	return base, host
}

// send asks what was signed, and returns the answer. what is what was asked for,
// such as ec2:AssociateAddress; said reads the error that an answer holds, which
// some vendors give with status 200.
func (a Access) send(ctx context.Context, what, base string, r sign.Request, header http.Header, hidden []string, said func([]byte) (Fault, bool)) ([]byte, error) {
	at := base + r.Path
	if r.Query != "" {
		at += "?" + r.Query
	}
	answer, err := a.Client.Do(ctx, httpcall.Request{Method: r.Method, URL: at, Header: header, Body: r.Body, Hidden: hidden})
	var status *httpcall.StatusError
	if err != nil && !errors.As(err, &status) {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	f := Fault{}
	if status != nil {
		answer = status.Answer
	}
	read, bad := said(answer)
	switch {
	case status == nil && !bad:
		return answer, nil
	case bad:
		f = read
	}
	f.Action = what
	f.Message = httpcall.Excerpt([]byte(f.Message), hidden)
	if status != nil {
		f.Status, f.after = status.Status, status.After
		if !bad {
			f.Message = status.Said
		}
	}
	return nil, &f
}

// unread says that an answer is not what the vendor documents.
func unread(what string, answer []byte, err error) error {
	return fmt.Errorf("%s: the answer %q is not as documented: %w", what, httpcall.Excerpt(answer, nil), err)
}
