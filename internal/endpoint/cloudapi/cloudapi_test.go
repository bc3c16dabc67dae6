package cloudapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/endpoint/cloudapi"
	"github.com/baton-db/baton/internal/endpoint/cloudapi/cloudtest"
	"github.com/baton-db/baton/internal/endpoint/sign"
)

// What the vendors document, and what it is taken for.
func TestDocumentedErrorsAreToldApart(t *testing.T) {
	for _, tt := range []struct {
		status        int
		code, message string
		want          cloudapi.Kind
	}{
		// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
		{503, "RequestLimitExceeded", "Request limit exceeded.", cloudapi.Throttled},
		{403, "UnauthorizedOperation", "You are not authorized to perform this operation.", cloudapi.Denied},
		{401, "AuthFailure", "AWS was not able to validate the provided access credentials", cloudapi.Unknown},
		{400, "InvalidAllocationID.NotFound", "The allocation ID 'eipalloc-1' does not exist", cloudapi.Missing},
		{400, "RequestExpired", "Request has expired.", cloudapi.Late},
		{403, "SignatureDoesNotMatch", "Signature expired: 20150830T123600Z is now earlier than 20150830T124000Z", cloudapi.Late},
		{403, "SignatureDoesNotMatch", "The request signature we calculated does not match", cloudapi.Unknown},
		{403, "ExpiredToken", "The security token included in the request is expired", cloudapi.Unknown},
		{500, "InternalError", "An internal error has occurred", cloudapi.Broken},
		{503, "Unavailable", "The server is overloaded and can't handle the request.", cloudapi.Broken},
		{400, "IncorrectInstanceState", "Instance is in an incorrect state", cloudapi.Refused},
		// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html
		{400, "PriorRequestNotComplete", "The request was rejected because Route 53 was still processing a prior request.", cloudapi.Throttled},
		{404, "NoSuchHostedZone", "No hosted zone found with ID: Z1", cloudapi.Missing},
		// https://www.alibabacloud.com/help/en/ecs/developer-reference/api-error-codes
		{404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.", cloudapi.Unknown},
		{400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.", cloudapi.Late},
		{400, "Throttling.User", "Request was denied due to user flow control.", cloudapi.Throttled},
		{403, "Forbidden.RAM", "User not authorized to operate on the specified resource.", cloudapi.Denied},
		{404, "InvalidAllocationId.NotFound", "Specified allocation ID is not found", cloudapi.Missing},
		{400, "InvalidDomainName.NoExist", "The specified domain name does not exist.", cloudapi.Missing},
		{503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server.", cloudapi.Broken},
		{400, "IncorrectEipStatus", "Current elastic IP status does not support this operation.", cloudapi.Refused},
		// https://cloud.tencent.com/document/api/213/30435
		{0, "RequestLimitExceeded", "", cloudapi.Throttled},
		{0, "AuthFailure.SignatureExpire", "", cloudapi.Late},
		{0, "AuthFailure.SecretIdNotFound", "", cloudapi.Unknown},
		{0, "AuthFailure.UnauthorizedOperation", "", cloudapi.Denied},
		{0, "ResourceNotFound", "", cloudapi.Missing},
		{0, "InternalError", "", cloudapi.Broken},
		{0, "InvalidParameterValue", "", cloudapi.Refused},
		// https://developers.cloudflare.com/api, and its errors of DNS records
		{403, "10000", "Authentication error", cloudapi.Unknown},
		{400, "9109", "Invalid access token", cloudapi.Unknown},
		{429, "10429", "", cloudapi.Throttled},
		{404, "7003", "Could not route to /zones/x", cloudapi.Missing},
		{400, "9021", "Invalid TTL.", cloudapi.Refused},
		// What has no code.
		{429, "", "", cloudapi.Throttled}, {401, "", "", cloudapi.Unknown}, {403, "", "", cloudapi.Denied}, {502, "", "", cloudapi.Broken}, {418, "", "", cloudapi.Refused},
	} {
		f := &cloudapi.Fault{Vendor: "the vendor", Action: "ec2:It", Status: tt.status, Code: tt.code, Message: tt.message}
		if f.Kind() != tt.want {
			t.Errorf("%d %s %s: %v, that is %d, want %d", tt.status, tt.code, tt.message, f, f.Kind(), tt.want)
		}
	}
}

func keys() cloudapi.Fixed {
	return cloudapi.Fixed(sign.Keys{ID: cloudtest.ID, Secret: cloudtest.Secret})
}

// calls are one call to each vendor.
func calls(at string) map[string]func(context.Context) error {
	a := cloudapi.Access{URL: at, Keys: keys()}
	var into struct{ Anything string }
	return map[string]func(context.Context) error{
		"AWS": func(ctx context.Context) error {
			return cloudapi.AWS{Access: a, Region: "eu-central-1"}.EC2(ctx, "DescribeAddresses", url.Values{}, &into)
		},
		"Alibaba Cloud": func(ctx context.Context) error {
			return cloudapi.Aliyun{Access: a, Region: "cn-hangzhou"}.VPC(ctx, "DescribeEipAddresses", url.Values{}, &into)
		},
		"Tencent Cloud": func(ctx context.Context) error {
			return cloudapi.Tencent{Access: a, Region: "ap-guangzhou"}.VPC(ctx, "DescribeHaVips", struct{}{}, &into)
		},
		"Cloudflare": func(ctx context.Context) error {
			return cloudapi.Cloudflare{Access: cloudapi.Access{URL: at, Keys: cloudapi.Fixed{Token: cloudtest.Secret}}}.DNS(ctx, "GET", "z", "", nil, nil, &into)
		},
	}
}

func TestAnAnswerThatRepeatsTheSecretIsShownWithoutIt(t *testing.T) {
	for name, body := range map[string]string{
		"a page":      "<html>you said " + cloudtest.Secret + "</html>",
		"an error":    `{"Response":{"Error":{"Code":"X","Message":"` + cloudtest.Secret + `"}},"Code":"X","Message":"` + cloudtest.Secret + `","success":false,"errors":[{"code":1,"message":"` + cloudtest.Secret + `"}]}`,
		"AWS's error": `<Response><Errors><Error><Code>X</Code><Message>` + cloudtest.Secret + `</Message></Error></Errors></Response>`,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, body)
		}))
		for vendor, call := range calls(s.URL) {
			err := call(t.Context())
			var f *cloudapi.Fault
			if !errors.As(err, &f) || strings.Contains(err.Error(), cloudtest.Secret) {
				t.Errorf("%s, %s: %v", vendor, name, err)
			}
		}
		s.Close()
	}
}

func TestWhatIsNoAnswerIsSaid(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>log in to the wireless network") }))
	defer page.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for vendor, call := range calls(page.URL) {
		if err := call(t.Context()); err == nil || !strings.Contains(err.Error(), "is not as documented") {
			t.Errorf("%s, a page: %v", vendor, err)
		}
	}
	for vendor, call := range calls(gone.URL) {
		if err := call(t.Context()); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%s, nobody there: %v", vendor, err)
		}
	}
}

func TestKeysAreReadFromOneLine(t *testing.T) {
	if k, err := cloudapi.ParseKeys(" AKID : s3cr3t/+=:x\n"); err != nil || k != (cloudapi.Fixed{ID: "AKID", Secret: "s3cr3t/+=:x"}) {
		t.Errorf("got %v, %v", k.ID, err)
	}
	for _, text := range []string{"", "s3cr3t", ":s3cr3t", "AKID:", "AKID: s3 cr3t"} {
		if _, err := cloudapi.ParseKeys(text); err == nil || strings.Contains(err.Error(), "cr3t") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// metadata is the metadata service of an instance, as each vendor documents it.
func metadata(t *testing.T, i *cloudapi.Instance, asked *atomic.Int32, role string) {
	const session = "t0ken"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch {
		case i.Session != "" && r.URL.Path == i.Session && r.Method == http.MethodPut && r.Header.Get(i.Ask) != "":
			fmt.Fprint(w, session)
		case i.Session != "" && r.Header.Get(i.Show) != session:
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == i.Roles && role != "":
			fmt.Fprint(w, "baton\n")
		case r.URL.Path == i.Roles+"baton":
			fmt.Fprint(w, role)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(s.Close)
	i.URL = s.URL
}

func TestAnInstanceGetsTheKeysOfItsRole(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		make func() *cloudapi.Instance
		role string
	}{
		// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html
		"EC2": {cloudapi.OnEC2, `{"Code":"Success","LastUpdated":"2026-11-21T11:00:00Z","Type":"AWS-HMAC","AccessKeyId":"AK","SecretAccessKey":"SK","Token":"TK","Expiration":"2026-11-21T13:00:00Z"}`},
		// https://www.alibabacloud.com/help/en/ecs/user-guide/instance-ram-roles
		"ECS": {cloudapi.OnECS, `{"AccessKeyId":"AK","AccessKeySecret":"SK","Expiration":"2026-11-21T13:00:00Z","SecurityToken":"TK","LastUpdated":"2026-11-21T11:00:00Z","Code":"Success"}`},
		// https://cloud.tencent.com/document/product/213/4934
		"CVM": {cloudapi.OnCVM, fmt.Sprintf(`{"TmpSecretId":"AK","TmpSecretKey":"SK","ExpiredTime":%d,"Expiration":"2026-11-21T13:00:00Z","Token":"TK","Code":"Success"}`, now.Add(time.Hour).Unix())},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			i := tt.make()
			clock := now
			i.Wall = func() time.Time { return clock }
			metadata(t, i, &asked, tt.role)
			want := sign.Keys{ID: "AK", Secret: "SK", Token: "TK"}
			for range 2 {
				if got, err := i.Keys(t.Context()); err != nil || got != want {
					t.Fatalf("got %v, %v", got, err)
				}
			}
			once := asked.Load()
			if most := int32(3); once > most {
				t.Errorf("asked %d times for keys that are good for an hour", once)
			}
			clock = now.Add(59 * time.Minute)
			if _, err := i.Keys(t.Context()); err != nil || asked.Load() == once {
				t.Errorf("keys that end in a minute are used on, %v", err)
			}
		})
	}
}

func TestAnInstanceWithoutARoleIsSaid(t *testing.T) {
	for role, says := range map[string]string{
		"":                           "no role is attached to this instance",
		`{"Code":"Failed"}`:          `it has no keys for the role baton ("Failed")`,
		`{"SecretAccessKey":"s3cr3t`: "what it says of the role is not as documented",
		`{"Code":"Success","AccessKeyId":"AK","SecretAccessKey":"s3cr3t"}`: `it has no keys for the role baton`,
	} {
		i := cloudapi.OnEC2()
		metadata(t, i, new(atomic.Int32), role)
		if _, err := i.Keys(t.Context()); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", role, err)
		}
	}
	gone := cloudapi.OnEC2()
	gone.URL = "http://127.0.0.1:1"
	if _, err := gone.Keys(t.Context()); err == nil || !strings.Contains(err.Error(), "from AWS's metadata service") {
		t.Errorf("no service: %v", err)
	}
}

// A request that differs from what was signed in any way is refused: the local
// servers would notice.
func TestTheLocalServersNoticeWhatIsNotSigned(t *testing.T) {
	change := map[string]func(*http.Request){
		"as it is":         func(*http.Request) {},
		"another body":     func(r *http.Request) { r.Header.Set("X-Acs-Content-Sha256", "00") },
		"another query":    func(r *http.Request) { r.URL.RawQuery += "&x=1" },
		"another host":     func(r *http.Request) { r.Host = "elsewhere" },
		"another method":   func(r *http.Request) { r.Method = "PATCH" },
		"no authorization": func(r *http.Request) { r.Header.Del("Authorization") },
		"an unknown key": func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), cloudtest.ID, "AKother", 1))
		},
		"another time": func(r *http.Request) {
			r.Header.Set("X-Amz-Date", "20150830T123600Z")
			r.Header.Set("X-Acs-Date", "2015-08-30T12:36:00Z")
			r.Header.Set("X-Tc-Timestamp", "1440938160")
		},
	}
	for vendor, signed := range map[string]func(*cloudtest.Server, *http.Request, []byte) error{
		"AWS": cloudtest.AWS("ec2", "eu-central-1"), "Alibaba Cloud": cloudtest.Aliyun, "Tencent Cloud": cloudtest.Tencent("vpc"),
	} {
		for name, do := range change {
			if vendor != "Alibaba Cloud" && name == "another body" {
				continue
			}
			var verdict error
			s := cloudtest.Start(t, cloudtest.Vendor{
				Action: func(*http.Request, []byte) string { return "" },
				Signed: func(s *cloudtest.Server, r *http.Request, body []byte) error {
					do(r)
					verdict = signed(s, r, body)
					return nil
				},
				Answer: func(*http.Request, []byte) cloudtest.Answer { return cloudtest.Answer{} },
			})
			_ = calls(s.URL)[vendor](t.Context()) // its answer is empty
			s.Change(func() {
				if (verdict == nil) != (name == "as it is") {
					t.Errorf("%s, %s: %v", vendor, name, verdict)
				}
			})
		}
	}
}
