package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// Bytes is a size. It is written with its unit: 256MiB.
type Bytes int64

// Speed is a number of bytes in a second. It is written with its unit: 50MiB/s.
type Speed int64

const perSecond = "/s"

func (b Bytes) String() string { return sizeText(int64(b)) }

func (s Speed) String() string {
	if s == 0 {
		return "0"
	}
	return sizeText(int64(s)) + perSecond
}

// sizeUnits are the units of a size, the biggest first.
func sizeUnits() []string { return []string{"TiB", "GiB", "MiB", "KiB"} }

// sizeText writes a size in the biggest unit of which it is a whole number.
func sizeText(n int64) string {
	if n == 0 {
		return "0"
	}
	for i, unit := range sizeUnits() {
		if one := int64(1) << (10 * (len(sizeUnits()) - i)); n%one == 0 {
			return fmt.Sprintf("%d%s", n/one, unit)
		}
	}
	return fmt.Sprintf("%dB", n)
}

// parseSize reads a whole number and its unit; 0 needs none.
func parseSize(text string) (int64, error) {
	if text == "0" {
		return 0, nil
	}
	number, one := "", int64(1)
	for i, unit := range append(sizeUnits(), "B") {
		if n, ok := strings.CutSuffix(text, unit); ok {
			number, one = n, int64(1)<<(10*(len(sizeUnits())-i))
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/one {
		return 0, fmt.Errorf("%q is no size", text)
	}
	return n * one, nil
}

func parseSpeed(text string) (int64, error) {
	if text == "0" {
		return 0, nil
	}
	size, ok := strings.CutSuffix(text, perSecond)
	if !ok {
		return 0, fmt.Errorf("%q is no speed", text)
	}
	return parseSize(size)
}

// assignSize reads a size or a speed.
func (k Key) assignSize(v reflect.Value, text string) (what, mend string) {
	parse, noun, suffix := parseSize, "size", ""
	if k.Kind == Rate {
		parse, noun, suffix = parseSpeed, "speed", perSecond
	}
	n, err := parse(text)
	if err != nil {
		return fmt.Sprintf("%q is no %s", text, noun), "write a whole number with its unit, KiB" + suffix + ", MiB" + suffix + " or GiB" + suffix + ", such as " + k.sample()
	}
	low, high := beyond(n, k.Min, k.Max, parse)
	if low || high {
		how := "too little"
		if high {
			how = "too much"
		}
		return text + " is " + how, fmt.Sprintf("write %s to %s", k.Min, k.Max)
	}
	v.SetInt(n)
	return "", ""
}
