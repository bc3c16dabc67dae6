package cloudapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/endpoint/sign"
	"github.com/baton-db/baton/internal/httpcall"
)

// A Keyring has the keys that are good now.
type Keyring interface {
	Keys(ctx context.Context) (sign.Keys, error)
}

// Fixed are keys that last.
type Fixed sign.Keys

// Keys implements Keyring.
func (f Fixed) Keys(context.Context) (sign.Keys, error) { return sign.Keys(f), nil }

// ParseKeys reads what a file of keys holds: the ID and the secret on one line, with
// a colon between them. No error shows any of it.
func ParseKeys(text string) (Fixed, error) {
	id, secret, ok := strings.Cut(strings.TrimSpace(text), ":")
	id, secret = strings.TrimSpace(id), strings.TrimSpace(secret)
	if !ok || id == "" || secret == "" || strings.ContainsAny(id+secret, " \t") {
		return Fixed{}, errors.New("the file of keys does not hold ID:SECRET on one line")
	}
	return Fixed{ID: id, Secret: secret}, nil
}

// Instance are the keys of the role that the vendor has given to this instance, from
// its metadata service. They are kept until shortly before they end.
type Instance struct {
	Vendor string
	// URL takes the place of the service's own; empty: that.
	URL string
	// Own is where it is, Roles the path below which it lists roles.
	Own, Roles string
	// Session, Ask and Show are the path that gives a session token and the headers
	// that ask for it and show it; empty: it wants none.
	Session, Ask, Show string
	Wall               func() time.Time

	mu   sync.Mutex
	keys sign.Keys
	ends time.Time
}

// OnEC2 are the keys of an instance of AWS, by version 2 of its metadata service.
func OnEC2() *Instance {
	return &Instance{Vendor: "AWS", Own: "http://169.254.169.254", Roles: "/latest/meta-data/iam/security-credentials/",
		Session: "/latest/api/token", Ask: "X-aws-ec2-metadata-token-ttl-seconds", Show: "X-aws-ec2-metadata-token"}
}

// OnECS are the keys of an instance of Alibaba Cloud, in its hardened mode.
func OnECS() *Instance {
	return &Instance{Vendor: "Alibaba Cloud", Own: "http://100.100.100.200", Roles: "/latest/meta-data/ram/security-credentials/",
		Session: "/latest/api/token", Ask: "X-aliyun-ecs-metadata-token-ttl-seconds", Show: "X-aliyun-ecs-metadata-token"}
}

// OnCVM are the keys of an instance of Tencent Cloud.
func OnCVM() *Instance {
	return &Instance{Vendor: "Tencent Cloud", Own: "http://metadata.tencentyun.com", Roles: "/latest/meta-data/cam/security-credentials/"}
}

// early is how long before their end keys are not used any more: a request with them
// has to arrive, and the clocks may differ.
const early = 2 * time.Minute

// Keys implements Keyring.
func (i *Instance) Keys(ctx context.Context) (sign.Keys, error) {
	now := Access{Wall: i.Wall}.now()
	i.mu.Lock()
	defer i.mu.Unlock()
	if now.Before(i.ends.Add(-early)) {
		return i.keys, nil
	}
	keys, ends, err := i.ask(ctx)
	if err != nil {
		return sign.Keys{}, fmt.Errorf("get the keys of this instance's role from %s's metadata service: %w", i.Vendor, err)
	}
	i.keys, i.ends = keys, ends
	return keys, nil
}

func (i *Instance) ask(ctx context.Context) (sign.Keys, time.Time, error) {
	none := time.Time{}
	header := http.Header{}
	if i.Session != "" {
		token, err := i.read(ctx, http.MethodPut, i.Session, http.Header{http.CanonicalHeaderKey(i.Ask): {"300"}})
		if err != nil {
			return sign.Keys{}, none, err
		}
		header.Set(i.Show, string(token))
	}
	role, err := i.read(ctx, http.MethodGet, i.Roles, header)
	name, _, _ := strings.Cut(strings.TrimSpace(string(role)), "\n")
	var status *httpcall.StatusError
	switch {
	case errors.As(err, &status) && status.Status == http.StatusNotFound, err == nil && name == "":
		return sign.Keys{}, none, errors.New("no role is attached to this instance; attach one, or give a file of keys")
	case err != nil:
		return sign.Keys{}, none, err
	}
	answer, err := i.read(ctx, http.MethodGet, i.Roles+name, header)
	if err != nil {
		return sign.Keys{}, none, err
	}
	// What the three vendors call the same things.
	var got struct {
		Code                                          string
		AccessKeyID                                   string `json:"AccessKeyId"`
		SecretAccessKey, AccessKeySecret, TmpSecretID string
		TmpSecretKey, Token, SecurityToken            string
		Expiration                                    time.Time
		ExpiredTime                                   int64
	}
	// Not with the error of the decoder, nor with the answer: both may show a secret.
	if json.Unmarshal(answer, &got) != nil {
		return sign.Keys{}, none, errors.New("what it says of the role is not as documented")
	}
	keys := sign.Keys{ID: got.AccessKeyID + got.TmpSecretID, Secret: got.SecretAccessKey + got.AccessKeySecret + got.TmpSecretKey, Token: got.Token + got.SecurityToken}
	if got.ExpiredTime != 0 {
		got.Expiration = time.Unix(got.ExpiredTime, 0)
	}
	if got.Code != "Success" || keys.ID == "" || keys.Secret == "" || keys.Token == "" {
		return sign.Keys{}, none, fmt.Errorf("it has no keys for the role %s (%.40q)", name, got.Code)
	}
	return keys, got.Expiration, nil
}

func (i *Instance) read(ctx context.Context, method, path string, header http.Header) ([]byte, error) {
	base, _ := Access{URL: i.URL}.base(i.Own)
	return httpcall.Client{Direct: true}.Do(ctx, httpcall.Request{Method: method, URL: base + path, Header: header})
}
