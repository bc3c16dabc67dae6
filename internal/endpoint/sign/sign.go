// Package sign answers which signature a cloud vendor's API wants under a request:
// AWS's Signature Version 4, Alibaba Cloud's ACS3-HMAC-SHA256 and Tencent Cloud's
// TC3-HMAC-SHA256.
//
// It is pure: the time and the nonce are arguments, and it sends nothing. The
// rule: what is signed is what is sent. The headers that come out are all that a
// request has, and the query is to be sent as Query writes it.
package sign

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Keys are what a vendor knows a caller by.
type Keys struct {
	ID     string
	Secret string
	Token  string // of keys that are valid for some time only; empty: they last
}

// Request is what is to be signed.
type Request struct {
	Method string
	Host   string
	Path   string // begins with a slash, and nothing in it is escaped
	Query  string // as Query writes it
	Header map[string]string
	Body   []byte
}

// Signed is a signature with the steps towards it, which vendors document each.
type Signed struct {
	Canonical string // the request in the one form in which it is signed
	ToSign    string
	Signature string // in hexadecimal
	Header    http.Header
}

// Query writes parameters in the order and the escaping in which they are signed
// (RFC 3986: a space is %20).
func Query(v url.Values) string { return strings.ReplaceAll(v.Encode(), "+", "%20") }

// SigV4 signs for AWS, as in
// https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html.
// Paths of S3 are not meant, nor such as need an escape: AWS wants those twice.
func SigV4(r Request, k Keys, region, service string, at time.Time) Signed {
	const algorithm = "AWS4-HMAC-SHA256"
	stamp := at.UTC().Format("20060102T150405Z")
	day := stamp[:8]
	header := r.headers("X-Amz-Date", stamp, "X-Amz-Security-Token", k.Token)
	canonical, names := r.canonical(header, slices.Sorted(maps.Keys(header)), strings.TrimSpace)
	scope := strings.Join([]string{day, region, service, "aws4_request"}, "/")
	s := Signed{Canonical: canonical, ToSign: strings.Join([]string{algorithm, stamp, scope, hash(canonical)}, "\n")}
	key := mac([]byte("AWS4"+k.Secret), day, region, service, "aws4_request")
	return s.with(header, key, algorithm+" Credential="+k.ID+"/"+scope+", SignedHeaders="+names+", Signature=")
}

// ACS3 signs for Alibaba Cloud, as in
// https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature.
// The request names its x-acs-action and x-acs-version. A nonce is used once.
func ACS3(r Request, k Keys, nonce string, at time.Time) Signed {
	const algorithm = "ACS3-HMAC-SHA256"
	header := r.headers("x-acs-date", at.UTC().Format(time.RFC3339), "x-acs-signature-nonce", nonce,
		"x-acs-content-sha256", hash(string(r.Body)), "x-acs-security-token", k.Token)
	canonical, names := r.canonical(header, slices.Sorted(maps.Keys(header)), strings.TrimSpace)
	s := Signed{Canonical: canonical, ToSign: algorithm + "\n" + hash(canonical)}
	return s.with(header, []byte(k.Secret), algorithm+" Credential="+k.ID+",SignedHeaders="+names+",Signature=")
}

// TC3 signs for Tencent Cloud, as in
// https://cloud.tencent.com/document/api/213/30654. Like its documentation it
// signs the content type, the host and the action; the request names all three.
func TC3(r Request, k Keys, service string, at time.Time) Signed {
	const algorithm = "TC3-HMAC-SHA256"
	stamp, day := strconv.FormatInt(at.Unix(), 10), at.UTC().Format(time.DateOnly)
	header := r.headers("X-TC-Timestamp", stamp, "X-TC-Token", k.Token)
	signed := []string{"content-type", "host", "x-tc-action"}
	canonical, names := r.canonical(header, signed, func(v string) string { return strings.ToLower(strings.TrimSpace(v)) })
	scope := day + "/" + service + "/tc3_request"
	s := Signed{Canonical: canonical, ToSign: strings.Join([]string{algorithm, stamp, scope, hash(canonical)}, "\n")}
	key := mac([]byte("TC3"+k.Secret), day, service, "tc3_request")
	return s.with(header, key, algorithm+" Credential="+k.ID+"/"+scope+", SignedHeaders="+names+", Signature=")
}

// headers are the request's, its host, and those given by name and value that are
// not empty. Names are in lower case.
func (r Request) headers(more ...string) map[string]string {
	all := map[string]string{"host": r.Host}
	for name, value := range r.Header {
		all[strings.ToLower(name)] = value
	}
	for pair := range slices.Chunk(more, 2) {
		if pair[1] != "" {
			all[strings.ToLower(pair[0])] = pair[1]
		}
	}
	return all
}

// canonical is the form that all three vendors sign, with the names that are
// signed, and those names as they write them.
func (r Request) canonical(header map[string]string, signed []string, trim func(string) string) (text, names string) {
	var lines strings.Builder
	for _, name := range signed {
		lines.WriteString(name + ":" + trim(header[name]) + "\n")
	}
	names = strings.Join(signed, ";")
	path := (&url.URL{Path: r.Path}).EscapedPath()
	return strings.Join([]string{r.Method, path, r.Query, lines.String(), names, hash(string(r.Body))}, "\n"), names
}

// with adds the signature, and the headers to send.
func (s Signed) with(header map[string]string, key []byte, authorization string) Signed {
	s.Signature = hex.EncodeToString(mac(key, s.ToSign))
	s.Header = http.Header{}
	for name, value := range header {
		s.Header.Set(name, value)
	}
	s.Header.Set("Authorization", authorization+s.Signature)
	return s
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// mac is the HMAC-SHA256 of the first text, which is the key for the next, and so on.
func mac(key []byte, texts ...string) []byte {
	for _, text := range texts {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(text))
		key = m.Sum(nil)
	}
	return key
}
