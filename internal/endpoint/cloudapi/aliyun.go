package cloudapi

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/url"

	"github.com/baton-db/baton/internal/endpoint/sign"
)

// Aliyun asks Alibaba Cloud.
type Aliyun struct {
	Access
	Region string
}

// DNS asks for an action of the API of its DNS (RPC, version 2015-01-09).
func (a Aliyun) DNS(ctx context.Context, action string, params url.Values, into any) error {
	return a.ask(ctx, "alidns", "https://alidns.aliyuncs.com", "2015-01-09", action, params, into)
}

// VPC asks for an action of the API of its networks (RPC, version 2016-04-28).
func (a Aliyun) VPC(ctx context.Context, action string, params url.Values, into any) error {
	params.Set("RegionId", a.Region)
	return a.ask(ctx, "vpc", "https://vpc."+a.Region+".aliyuncs.com", "2016-04-28", action, params, into)
}

func (a Aliyun) ask(ctx context.Context, product, own, version, action string, params url.Values, into any) error {
	keys, err := a.Keys.Keys(ctx)
	if err != nil {
		return err
	}
	base, host := a.base(own)
	r := sign.Request{Method: "POST", Host: host, Path: "/", Query: sign.Query(params),
		Header: map[string]string{"x-acs-action": action, "x-acs-version": version}}
	signed := sign.ACS3(r, keys, rand.Text(), a.now())
	signed.Header.Set("Accept", "application/json") // not of the headers that are signed
	what := product + ":" + action
	answer, err := a.send(ctx, what, base, r, signed.Header, []string{keys.Secret, keys.Token}, aliyunFault)
	if err != nil || into == nil {
		return err
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return unread(what, answer, err)
	}
	return nil
}

func aliyunFault(answer []byte) (Fault, bool) {
	var e struct {
		Code, Message      string
		AccessDeniedDetail struct{ AuthAction string }
	}
	_ = json.Unmarshal(answer, &e) // what is no JSON has no code
	return Fault{Vendor: "Alibaba Cloud", Code: e.Code, Message: e.Message, Permission: e.AccessDeniedDetail.AuthAction}, e.Code != ""
}
