package bgp

import (
	"fmt"
	"strings"
)

// Tells implements endpoint.Teller: which routers have been told of each address.
func (e *Endpoint) Tells() string {
	told, err := e.told()
	if err != nil {
		return ""
	}
	var all []string
	for _, a := range e.o.Addresses {
		if routers := told[a]; len(routers) > 0 {
			all = append(all, fmt.Sprintf("told %s of %s", strings.Trim(fmt.Sprint(routers), "[]"), a))
		}
	}
	return strings.Join(all, "; ")
}
