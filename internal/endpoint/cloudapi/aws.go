package cloudapi

import (
	"context"
	"encoding/xml"
	"net/url"
	"strings"

	"github.com/baton-db/baton/internal/endpoint/sign"
)

// AWS asks Amazon Web Services.
type AWS struct {
	Access
	Region string
}

// suffix is that of AWS's names in a region: China has its own.
func (a AWS) suffix() string {
	if strings.HasPrefix(a.Region, "cn-") {
		return "amazonaws.com.cn"
	}
	return "amazonaws.com"
}

// EC2 asks for an action of EC2's API (Query, version 2016-11-15) and decodes the XML
// that comes back.
func (a AWS) EC2(ctx context.Context, action string, params url.Values, into any) error {
	params.Set("Action", action)
	params.Set("Version", "2016-11-15")
	base, host := a.base("https://ec2." + a.Region + "." + a.suffix())
	return a.ask(ctx, "ec2:"+action, base, a.Region, "ec2", sign.Request{Method: "POST", Host: host, Path: "/",
		Header: map[string]string{"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}, Body: []byte(params.Encode())}, into)
}

// Route53 asks for an action of Route 53's API (REST, version 2013-04-01): path is
// below that version. A body is sent as XML.
func (a AWS) Route53(ctx context.Context, action, method, path string, query url.Values, body, into any) error {
	home := "us-east-1" // where the one API of all regions is
	if strings.HasPrefix(a.Region, "cn-") {
		home = "cn-northwest-1"
	}
	base, host := a.base("https://route53." + a.suffix())
	r := sign.Request{Method: method, Host: host, Path: "/2013-04-01/" + path, Query: sign.Query(query)}
	if body != nil {
		text, err := xml.Marshal(body)
		if err != nil {
			return err
		}
		r.Body, r.Header = append([]byte(xml.Header), text...), map[string]string{"Content-Type": "application/xml"}
	}
	return a.ask(ctx, "route53:"+action, base, home, "route53", r, into)
}

func (a AWS) ask(ctx context.Context, what, base, region, service string, r sign.Request, into any) error {
	keys, err := a.Keys.Keys(ctx)
	if err != nil {
		return err
	}
	signed := sign.SigV4(r, keys, region, service, a.now())
	answer, err := a.send(ctx, what, base, r, signed.Header, []string{keys.Secret, keys.Token}, awsFault)
	if err != nil || into == nil {
		return err
	}
	if err := xml.Unmarshal(answer, into); err != nil {
		return unread(what, answer, err)
	}
	return nil
}

// awsFault reads the errors of both forms: EC2's Response with Errors, and the
// ErrorResponse of the others; Route 53 gives InvalidChangeBatch a form of its own.
func awsFault(answer []byte) (Fault, bool) {
	type one struct{ Code, Message string }
	var e struct {
		XMLName  xml.Name
		Error    one
		Errors   []one    `xml:"Errors>Error"`
		Messages []string `xml:"Messages>Message"`
	}
	if xml.Unmarshal(answer, &e) != nil {
		return Fault{Vendor: "AWS"}, false
	}
	f := Fault{Vendor: "AWS", Code: e.Error.Code, Message: e.Error.Message}
	if len(e.Errors) > 0 {
		f.Code, f.Message = e.Errors[0].Code, e.Errors[0].Message
	}
	if e.XMLName.Local == "InvalidChangeBatch" {
		f.Code, f.Message = e.XMLName.Local, strings.Join(e.Messages, "; ")
	}
	return f, f.Code != ""
}
