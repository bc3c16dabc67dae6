package cloudapi

import (
	"context"
	"encoding/json"

	"github.com/baton-db/baton/internal/endpoint/sign"
)

// Tencent asks Tencent Cloud (API 3.0).
type Tencent struct {
	Access
	Region string
}

// DNSPod asks for an action of its DNS, version 2021-03-23.
func (t Tencent) DNSPod(ctx context.Context, action string, params, into any) error {
	return t.ask(ctx, "dnspod", "2021-03-23", "", action, params, into)
}

// VPC asks for an action of its networks, version 2017-03-12.
func (t Tencent) VPC(ctx context.Context, action string, params, into any) error {
	return t.ask(ctx, "vpc", "2017-03-12", t.Region, action, params, into)
}

func (t Tencent) ask(ctx context.Context, service, version, region, action string, params, into any) error {
	keys, err := t.Keys.Keys(ctx)
	if err != nil {
		return err
	}
	body, err := json.Marshal(params)
	if err != nil {
		return err
	}
	base, host := t.base("https://" + service + ".tencentcloudapi.com")
	r := sign.Request{Method: "POST", Host: host, Path: "/", Body: body,
		Header: map[string]string{"Content-Type": "application/json; charset=utf-8", "X-TC-Action": action, "X-TC-Version": version}}
	if region != "" {
		r.Header["X-TC-Region"] = region
	}
	signed := sign.TC3(r, keys, service, t.now())
	what := service + ":" + action
	answer, err := t.send(ctx, what, base, r, signed.Header, []string{keys.Secret, keys.Token}, tencentFault)
	if err != nil || into == nil {
		return err
	}
	if err := json.Unmarshal(answer, &struct{ Response any }{into}); err != nil {
		return unread(what, answer, err)
	}
	return nil
}

// tencentFault reads an error, which comes with status 200.
func tencentFault(answer []byte) (Fault, bool) {
	var e struct {
		Response struct {
			Error struct{ Code, Message string }
		}
	}
	_ = json.Unmarshal(answer, &e) // what is no JSON has no code
	said := e.Response.Error
	return Fault{Vendor: "Tencent Cloud", Code: said.Code, Message: said.Message}, said.Code != ""
}
