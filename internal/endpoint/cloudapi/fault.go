package cloudapi

import (
	"fmt"
	"strings"
	"time"
)

// Fault is an error that a vendor's API has answered.
type Fault struct {
	Vendor string
	Action string // what was asked for, as its permission is called
	Status int    // of HTTP; 0: 200, with an error in it
	Code   string // the vendor's own
	// Message is the vendor's own, without secrets.
	Message string
	// Permission is the one that is missing, if the vendor says another than Action.
	Permission string

	after time.Duration
}

// Kind is what can be done about a fault.
type Kind int

// The kinds of faults.
const (
	Refused   Kind = iota // the request does not fit what is there
	Throttled             // too many requests: later
	Denied                // a permission is missing
	Unknown               // the keys are not known, or do not fit
	Late                  // the clocks differ
	Missing               // there is no such thing
	Broken                // the vendor's own trouble: later
)

// signs are parts of codes by which the vendors' documented errors are told apart.
// The first kind that fits counts: InvalidAccessKeyId.NotFound is about the keys.
var signs = [...]struct {
	kind  Kind
	codes []string
}{
	{Late, []string{"RequestExpired", "RequestTimeTooSkewed", "InvalidTimeStamp", "IllegalTimestamp", "SignatureExpire"}},
	{Throttled, []string{"Throttl", "RequestLimitExceeded", "TooManyRequests", "PriorRequestNotComplete", "10429"}},
	{Denied, []string{"UnauthorizedOperation", "AccessDenied", "Forbidden", "Forbbiden", "NoPermission", "OptInRequired"}},
	{Unknown, []string{"AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch", "IncompleteSignature", "UnrecognizedClient",
		"MissingAuthenticationToken", "ExpiredToken", "InvalidAccessKeyId", "InvalidSecurityToken", "10000", "9109", "6003", "6111"}},
	{Missing, []string{"NotFound", "NoSuch", "NotExist", "NoExist", "NotBelong", "81044", "7003"}},
	{Broken, []string{"InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable"}},
}

// Kind is what can be done about it.
func (f *Fault) Kind() Kind {
	if strings.Contains(f.Message, "Signature expired") || strings.Contains(f.Message, "Signature not yet current") {
		return Late // AWS gives the code of a wrong secret
	}
	for _, s := range signs {
		for _, code := range s.codes {
			if strings.Contains(f.Code, code) {
				return s.kind
			}
		}
	}
	switch {
	case f.Status == 429:
		return Throttled
	case f.Status == 401:
		return Unknown
	case f.Status == 403:
		return Denied
	case f.Status >= 500:
		return Broken
	}
	return Refused
}

func (f *Fault) Error() string {
	said := f.Message
	if f.Code != "" {
		said = strings.TrimSuffix(f.Code+": "+f.Message, ": ")
	}
	if f.Status != 0 {
		said = fmt.Sprintf("%d %s", f.Status, said)
	}
	said = " (" + strings.TrimSpace(said) + ")"
	switch f.Kind() {
	case Throttled:
		return fmt.Sprintf("%s: %s wants fewer requests%s", f.Action, f.Vendor, said)
	case Denied:
		permission := f.Action
		if f.Permission != "" {
			permission = f.Permission
		}
		return fmt.Sprintf("%s: these keys lack the permission %s%s", f.Action, permission, said)
	case Unknown:
		if f.Code == "10000" { // Cloudflare says no more
			return fmt.Sprintf("%s: %s does not know this token, or it lacks the permission %s%s", f.Action, f.Vendor, f.Action, said)
		}
		return fmt.Sprintf("%s: %s does not know these keys, or their secret is another%s", f.Action, f.Vendor, said)
	case Late:
		return fmt.Sprintf("%s: this host's clock is not %s's%s", f.Action, f.Vendor, said)
	case Missing:
		return fmt.Sprintf("%s: %s has no such thing%s", f.Action, f.Vendor, said)
	case Broken:
		return fmt.Sprintf("%s: %s has trouble of its own%s", f.Action, f.Vendor, said)
	}
	return fmt.Sprintf("%s: %s refuses it%s", f.Action, f.Vendor, said)
}

// throttlePause is left to an API that wants fewer requests and does not say when.
const throttlePause = time.Second

// RetryAfter is how long the vendor wants to be left alone.
func (f *Fault) RetryAfter() time.Duration {
	if f.after == 0 && f.Kind() == Throttled {
		return throttlePause
	}
	return f.after
}
