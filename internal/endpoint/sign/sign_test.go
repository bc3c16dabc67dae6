package sign_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/endpoint/sign"
)

// vector is a request with the signature that its vendor has published for it.
type vector struct {
	signed    sign.Signed
	canonical string // empty: not published
	hash      string // of the canonical request, the last line of the string to sign; empty: not published
	signature string
	authorize string // the beginning of the header
}

func check(t *testing.T, v vector) {
	t.Helper()
	if v.canonical != "" && v.signed.Canonical != v.canonical {
		t.Errorf("the canonical request is\n%s\n\nwant\n%s", v.signed.Canonical, v.canonical)
	}
	if v.hash != "" && !strings.HasSuffix(v.signed.ToSign, "\n"+v.hash) {
		t.Errorf("the string to sign is\n%s\n\nwhose last line should be %s", v.signed.ToSign, v.hash)
	}
	if v.signed.Signature != v.signature {
		t.Errorf("the signature is %s, want %s", v.signed.Signature, v.signature)
	}
	if got := v.signed.Header.Get("Authorization"); got != v.authorize+v.signature {
		t.Errorf("Authorization: %s\nwant           %s", got, v.authorize+v.signature)
	}
}

// The vectors of AWS's own Signature Version 4 test suite, as published in
// https://github.com/awslabs/aws-c-auth, tests/aws-signing-test-suite/v4; the two
// canonical requests also in
// https://docs.aws.amazon.com/general/latest/gr/signature-v4-test-suite.html.
func TestTheSignatureIsThatOfAWSsTestSuite(t *testing.T) {
	keys := sign.Keys{ID: "AKIDEXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	at := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	get := func(path string, query url.Values, header map[string]string) sign.Request {
		return sign.Request{Method: "GET", Host: "example.amazonaws.com", Path: path, Query: sign.Query(query), Header: header}
	}
	const none = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for name, tt := range map[string]struct {
		request                   sign.Request
		token, headers, canonical string
		canonicalHash, wanted     string
	}{
		"get-vanilla": {get("/", nil, nil), "", "host;x-amz-date",
			"GET\n/\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\nhost;x-amz-date\n" + none,
			"bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63",
			"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"get-vanilla-query-order-key-case": {get("/", url.Values{"Param2": {"value2"}, "Param1": {"value1"}}, nil), "", "host;x-amz-date",
			"GET\n/\nParam1=value1&Param2=value2\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\nhost;x-amz-date\n" + none,
			"816cd5b414d056048ba4f7c5386d6e0533120fb1fcfa93762cf0fc39e2cf19e0",
			"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		"get-utf8": {get("/ሴ", nil, nil), "", "host;x-amz-date", "", "",
			"8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
		"get-vanilla-with-session-token": {get("/", nil, nil), "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267",
			"host;x-amz-date;x-amz-security-token", "", "",
			"07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"},
		"post-x-www-form-urlencoded": {sign.Request{Method: "POST", Host: "example.amazonaws.com", Path: "/", Body: []byte("Param1=value1"), Header: map[string]string{
			"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "13",
			"X-Amz-Content-Sha256": "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"}}, "",
			"content-length;content-type;host;x-amz-content-sha256;x-amz-date", "", "",
			"d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"},
	} {
		t.Run(name, func(t *testing.T) {
			k := keys
			k.Token = tt.token
			check(t, vector{sign.SigV4(tt.request, k, "us-east-1", "service", at), tt.canonical, tt.canonicalHash, tt.wanted,
				"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=" + tt.headers + ", Signature="})
		})
	}
}

// The two examples of Alibaba Cloud's documentation: "Signature method V3", fixed
// parameters
// (https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature),
// and the Authorization of its table of headers
// (https://help.aliyun.com/zh/model-studio/user-guide/roa-style-request-body-signature-mechanism),
// which is the same request with another date and nonce.
func TestTheSignatureIsThatOfAlibabaCloudsDocumentation(t *testing.T) {
	request := sign.Request{Method: "POST", Host: "ecs.cn-shanghai.aliyuncs.com", Path: "/",
		Query:  sign.Query(url.Values{"RegionId": {"cn-shanghai"}, "ImageId": {"win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"}}),
		Header: map[string]string{"x-acs-action": "RunInstances", "x-acs-version": "2014-05-26"}}
	keys := sign.Keys{ID: "YourAccessKeyId", Secret: "YourAccessKeySecret"}
	const authorize = "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,Signature="
	check(t, vector{sign.ACS3(request, keys, "3156853299f313e23d1673dc12e1703d", time.Date(2023, 10, 26, 10, 22, 32, 0, time.UTC)), `POST
/
ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai
host:ecs.cn-shanghai.aliyuncs.com
x-acs-action:RunInstances
x-acs-content-sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
x-acs-date:2023-10-26T10:22:32Z
x-acs-signature-nonce:3156853299f313e23d1673dc12e1703d
x-acs-version:2014-05-26

host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855`,
		"7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259",
		"06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0", authorize})
	check(t, vector{sign.ACS3(request, keys, "d410180a5abf7fe235dd9b74aca91fc0", time.Date(2023, 10, 26, 9, 1, 1, 0, time.UTC)), "", "",
		"e521358f7776c97df52e6b2891a8bc73026794a071b50c3323388c4e0df64804", authorize})
}

// The example of Tencent Cloud's documentation, "Signature v3"
// (https://cloud.tencent.com/document/api/213/30654). The asterisks are what it
// signs with, not something left out here.
func TestTheSignatureIsThatOfTencentCloudsDocumentation(t *testing.T) {
	request := sign.Request{Method: "POST", Host: "cvm.tencentcloudapi.com", Path: "/",
		Header: map[string]string{"Content-Type": "application/json; charset=utf-8", "X-TC-Action": "DescribeInstances", "X-TC-Version": "2017-03-12", "X-TC-Region": "ap-guangzhou"},
		Body:   []byte(`{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}`)}
	stars := strings.Repeat("*", 32)
	check(t, vector{sign.TC3(request, sign.Keys{ID: "AKID" + stars, Secret: stars}, "cvm", time.Unix(1551113065, 0)), `POST
/

content-type:application/json; charset=utf-8
host:cvm.tencentcloudapi.com
x-tc-action:describeinstances

content-type;host;x-tc-action
35e9c5b0e3ae67532d3c9f17ead6c90222632e5b1ff7f6e89887f1398934f064`,
		"7019a55be8395899b900fb5564e4200d984910f34794a27cb3fb7d10ff6a1e84",
		"10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f",
		"TC3-HMAC-SHA256 Credential=AKID" + stars + "/2019-02-25/cvm/tc3_request, SignedHeaders=content-type;host;x-tc-action, Signature="})
}

func TestKeysForSomeTimeBringTheirTokenAndAQueryIsEscapedAsSigned(t *testing.T) {
	keys := sign.Keys{ID: "id", Secret: "secret", Token: "the token"}
	r := sign.Request{Method: "POST", Host: "x", Path: "/", Header: map[string]string{}}
	if got := sign.ACS3(r, keys, "n", time.Unix(0, 0)); got.Header.Get("X-Acs-Security-Token") != keys.Token || !strings.Contains(got.Canonical, "x-acs-security-token:the token\n") {
		t.Errorf("Alibaba Cloud gets %v", got.Header)
	}
	if got := sign.TC3(r, keys, "s", time.Unix(0, 0)); got.Header.Get("X-Tc-Token") != keys.Token {
		t.Errorf("Tencent Cloud gets %v", got.Header)
	}
	if got := sign.Query(url.Values{"b": {"a b+c*~/"}, "a": {"默认"}}); got != "a=%E9%BB%98%E8%AE%A4&b=a%20b%2Bc%2A~%2F" {
		t.Errorf("got %s", got)
	}
}
