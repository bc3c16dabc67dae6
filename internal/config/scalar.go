package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// assign sets v to what text says. If it cannot, it returns what is wrong and
// what to write instead; v is then as before. quoted says that the text was
// meant as text.
func (k Key) assign(v reflect.Value, text string, quoted bool) (what, mend string) {
	switch k.Kind {
	case Duration:
		return k.assignDuration(v, text)
	case Size, Rate:
		return k.assignSize(v, text)
	case Integer:
		return k.assignInteger(v, text, quoted)
	case Ratio:
		return k.assignRatio(v, text)
	case YesNo:
		return k.assignYesNo(v, text, quoted)
	case IP:
		return k.assignIP(v, text)
	case Choice:
		if !slices.Contains(k.Choices, text) {
			return fmt.Sprintf("%q is no %s", text, k.Noun), "use " + orList(k.Choices)
		}
	}
	if strings.ContainsAny(text, "\x00\n\r") {
		return "the text has more than one line", "write it on one line"
	}
	v.SetString(text)
	return "", ""
}

func (k Key) assignDuration(v reflect.Value, text string) (what, mend string) {
	if n, err := strconv.ParseFloat(text, 64); err == nil && text != "0" {
		return fmt.Sprintf("%s needs a unit", text), "write " + k.withUnit(text, n)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		if squeezed := spelledOut(text); squeezed != "" {
			return fmt.Sprintf("%q is no duration", text), "write " + squeezed
		}
		return fmt.Sprintf("%q is no duration", text), "write a number with its unit, ms, s, m or h, such as " + k.sample()
	}
	if what, mend := k.outside(d, text, time.ParseDuration); what != "" {
		return what, mend
	}
	v.SetInt(int64(d))
	return "", ""
}

// withUnit guesses which unit was forgotten: the one under which the value is
// in bounds.
func (k Key) withUnit(text string, n float64) string {
	var fit []string
	for _, unit := range []string{"ms", "s"} {
		d, err := time.ParseDuration(text + unit)
		if err != nil || n < 0 {
			continue
		}
		if what, _ := k.outside(d, text, time.ParseDuration); what == "" {
			fit = append(fit, text+unit)
		}
	}
	if len(fit) == 0 {
		return "a number with its unit, such as " + k.sample()
	}
	if len(fit) == 2 && n >= 50 {
		fit = fit[:1]
	}
	return strings.Join(fit, " or ")
}

// spelledOut turns "2 sec" into "2s", or returns "".
func spelledOut(text string) string {
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit := strings.ToLower(strings.TrimSpace(text[len(number):]))
	short := map[string]string{
		"ms": "ms", "msec": "ms", "msecs": "ms", "millis": "ms", "millisecond": "ms", "milliseconds": "ms",
		"s": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
		"m": "m", "min": "m", "mins": "m", "minute": "m", "minutes": "m", "h": "h", "hr": "h", "hour": "h", "hours": "h",
	}[unit]
	if _, err := time.ParseDuration(number + short); err != nil || short == "" {
		return ""
	}
	return number + short
}

func (k Key) assignInteger(v reflect.Value, text string, quoted bool) (what, mend string) {
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return fmt.Sprintf("%q is no whole number", text), "write one, such as " + k.sample()
	case quoted:
		return fmt.Sprintf("%q is text", text), "write the number without quotes: " + text
	}
	if what, mend := k.outside(n, text, strconv.Atoi); what != "" {
		return what, mend
	}
	v.SetInt(int64(n))
	return "", ""
}

func (k Key) assignRatio(v reflect.Value, text string) (what, mend string) {
	parse := func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }
	x, err := parse(text)
	if err != nil || x != x {
		mend := "write one, such as " + k.sample()
		if p, err := parse(strings.TrimSuffix(text, "%")); err == nil {
			mend = "write " + strconv.FormatFloat(p/100, 'g', 6, 64)
		}
		return fmt.Sprintf("%q is no ratio", text), mend
	}
	if what, mend := k.outside(x, text, parse); what != "" {
		return what, mend
	}
	v.SetFloat(x)
	return "", ""
}

func (k Key) assignYesNo(v reflect.Value, text string, quoted bool) (what, mend string) {
	switch {
	case text == "true" && !quoted:
		v.SetBool(true)
		return "", ""
	case text == "false" && !quoted:
		v.SetBool(false)
		return "", ""
	}
	mend = "write true or false, without quotes"
	switch strings.ToLower(text) {
	case "yes", "on", "y", "1", "true":
		mend = "write true"
	case "no", "off", "n", "0", "false":
		mend = "write false"
	}
	return fmt.Sprintf("%q is neither true nor false", text), mend
}

func (k Key) assignIP(v reflect.Value, text string) (what, mend string) {
	a, err := netip.ParseAddr(text)
	if err == nil {
		if a.Zone() != "" {
			return fmt.Sprintf("%q names an interface", text), "write the address without it: " + a.WithZone("").String()
		}
		v.Set(reflect.ValueOf(a.Unmap()))
		return "", ""
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return fmt.Sprintf("%q has a prefix length", text), "write the address alone: " + p.Addr().String()
	}
	if p, err := netip.ParseAddrPort(text); err == nil {
		return fmt.Sprintf("%q has a port", text), "write the address alone: " + p.Addr().String()
	}
	return fmt.Sprintf("%q is no IP address", text), "write a number such as 10.77.0.11 or \"fd77::11\", no name"
}

// outside judges a value by the bounds of its key.
func (k Key) outside(x any, text string, parse any) (what, mend string) {
	var low, high bool
	switch p := parse.(type) {
	case func(string) (time.Duration, error):
		low, high = beyond(x.(time.Duration), k.Min, k.Max, p)
	case func(string) (int, error):
		low, high = beyond(x.(int), k.Min, k.Max, p)
	case func(string) (float64, error):
		low, high = beyond(x.(float64), k.Min, k.Max, p)
	}
	switch {
	case low:
		return text + " is too little", fmt.Sprintf("write %s to %s", k.Min, k.Max)
	case high:
		return text + " is too much", fmt.Sprintf("write %s to %s", k.Min, k.Max)
	}
	return "", ""
}

// allowsZero reports whether the zero value can be written.
func (k Key) allowsZero() bool {
	var low bool
	switch k.Kind {
	case Duration:
		low, _ = beyond(0, k.Min, k.Max, time.ParseDuration)
	case Integer:
		low, _ = beyond(0, k.Min, k.Max, strconv.Atoi)
	case Size:
		low, _ = beyond(0, k.Min, k.Max, parseSize)
	case Rate:
		low, _ = beyond(0, k.Min, k.Max, parseSpeed)
	}
	return !low
}

func beyond[T cmp.Ordered](x T, least, most string, parse func(string) (T, error)) (low, high bool) {
	if b, err := parse(least); err == nil && x < b {
		low = true
	}
	if b, err := parse(most); err == nil && x > b {
		high = true
	}
	return low, high
}

// sample is a value as it could be written.
func (k Key) sample() string {
	switch {
	case k.Example != "":
		return k.Example
	case k.Balanced != "":
		return k.Balanced
	case k.Min != "":
		return k.Min
	case len(k.Choices) > 0:
		return k.Choices[0]
	}
	return map[Kind]string{Duration: "2s", Size: "256MiB", Rate: "50MiB/s", Integer: "1", YesNo: "true", IP: "10.77.0.11", File: "/etc/baton/file"}[k.Kind]
}

// write is the value as it would be written in the file.
func write(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return shortDuration(x)
	case netip.Addr:
		if !x.IsValid() {
			return ""
		}
		return x.String()
	case []string:
		return "[" + strings.Join(x, ", ") + "]"
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	}
	return fmt.Sprint(v.Interface())
}

// shortDuration leaves the zero parts out: 1m, not 1m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// absolute makes the paths in a block count from the directory of the file.
func (l *loader) absolute(v reflect.Value, path string) {
	each(v, path, func(path string, v reflect.Value) {
		if k, _ := l.table.row(path); k.Kind == File && v.String() != "" && !filepath.IsAbs(v.String()) {
			v.SetString(filepath.Join(l.cfg.dir, v.String()))
		}
	})
}

func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
