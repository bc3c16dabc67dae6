package httpcall

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// The headers of a signature.
const (
	HeaderTime      = "X-Baton-Timestamp" // seconds since 1970, UTC, as text
	HeaderSignature = "X-Baton-Signature"
)

// Signature is what HeaderSignature holds: the HMAC-SHA256 of the time in
// HeaderTime, a dot and the body, under the secret; in hexadecimal digits after
// "sha256=".
func Signature(secret, at string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at + "."))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}
