package frr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
)

// running is what of FRR's configuration matters here.
type running struct {
	as       string // as it is written there
	checks   bool   // whether it announces only what its routing table has
	networks map[netip.Prefix]string
}

// view is what FRR says at one time.
type view struct {
	running   running
	announced map[netip.Addr]announcement
	routed    map[netip.Addr]string // by which protocol, BGP apart: what FRR has heard it does not announce by itself
	neighbors map[netip.Addr]neighbor
}

// still says that something is announced; nil if nothing is.
func (v view) still() error {
	for a, p := range v.announced {
		if p.announces {
			return fmt.Errorf("FRR still announces %s", a)
		}
	}
	return nil
}

// look asks FRR for all of it at once: vtysh takes longer to start than to answer.
func (e *Endpoint) look(ctx context.Context) (view, error) {
	commands := []string{"show running-config bgpd"}
	for _, a := range e.o.Addresses {
		what, table := "ipv6", "ipv6"
		if a.Is4() {
			what, table = "ipv4", "ip"
		}
		commands = append(commands, fmt.Sprintf("show bgp %s unicast %s/%d json", what, a, a.BitLen()), fmt.Sprintf("show %s route %s/%d json", table, a, a.BitLen()))
	}
	text, err := e.ask(ctx, true, append(commands, "show bgp neighbors json")...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return view{}, fmt.Errorf("look at FRR's BGP: vtysh cannot ask it (does FRR run, with its bgpd?): %w", err)
	case err != nil:
		return view{}, fmt.Errorf("look at FRR's BGP: %w", err)
	}
	v := view{announced: map[netip.Addr]announcement{}, routed: map[netip.Addr]string{}}
	config, after, _ := strings.Cut(text, "\n{")
	var ok bool
	if v.running, ok = parseRunning(config); !ok {
		return view{}, errors.New("FRR has no `router bgp` in its default VRF (and does its bgpd run?)")
	}
	answers := json.NewDecoder(strings.NewReader("{" + after))
	for _, a := range e.o.Addresses {
		if v.announced[a], err = readAnnouncement(answers); err != nil {
			return view{}, fmt.Errorf("read what FRR says of %s: %w", a, err)
		}
		if v.routed[a], err = readRoute(answers); err != nil {
			return view{}, fmt.Errorf("read FRR's route to %s: %w", a, err)
		}
	}
	if v.neighbors, err = readNeighbors(answers); err != nil {
		return view{}, fmt.Errorf("read what FRR says of its neighbours: %w", err)
	}
	if slices.ContainsFunc(e.o.Addresses, netip.Addr.Is6) {
		for at, n := range v.neighbors {
			n.lost6 = n.lacksHop6()
			v.neighbors[at] = n
		}
	}
	return v, nil
}

// parseRunning finds the BGP instance of the default VRF.
func parseRunning(text string) (r running, ok bool) {
	r = running{checks: true, networks: map[netip.Prefix]string{}}
	inside := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "!":
		case line[0] != ' ': // a block begins or ends
			inside = len(words) >= 3 && words[0] == "router" && words[1] == "bgp" && !slices.Contains(words, "vrf") && !slices.Contains(words, "view")
			if inside {
				r.as, ok = words[2], true
			}
		case !inside:
		case strings.Join(words, " ") == "no bgp network import-check":
			r.checks = false
		case words[0] == "network" && len(words) >= 2:
			if p, err := netip.ParsePrefix(words[1]); err == nil {
				r.networks[p] = ""
				if i := slices.Index(words, "route-map"); i > 0 && i+1 < len(words) {
					r.networks[p] = words[i+1]
				}
			}
		}
	}
	return r, ok
}

// announcement is what FRR says of a prefix that it originates.
type announcement struct {
	announces bool         // it is valid, and the best way there
	told      []netip.Addr // neighbours to which it has gone
}

// told returns those of the wanted neighbours that have been told of an address, and can
// lead there; any that have, if none are named.
func (v view) told(a netip.Addr, wanted []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(v.announced[a].told), func(n netip.Addr) bool {
		return a.Is6() && v.neighbors[n].lost6 || len(wanted) > 0 && !slices.Contains(wanted, n)
	})
}

// readAnnouncement reads how FRR announces a prefix; an empty answer if it does not know it.
func readAnnouncement(answers *json.Decoder) (found announcement, err error) {
	var shown struct {
		AdvertisedTo map[string]json.RawMessage `json:"advertisedTo"`
		Paths        []struct {
			Valid    bool `json:"valid"`
			Sourced  bool `json:"sourced"`
			Local    bool `json:"local"`
			BestPath struct {
				Overall bool `json:"overall"`
			} `json:"bestpath"`
		} `json:"paths"`
	}
	if err := answers.Decode(&shown); err != nil {
		return announcement{}, err
	}
	for _, p := range shown.Paths {
		found.announces = found.announces || p.Valid && p.Sourced && p.Local && p.BestPath.Overall
	}
	for n := range shown.AdvertisedTo {
		if addr, err := netip.ParseAddr(n); err == nil && found.announces {
			found.told = append(found.told, addr)
		}
	}
	return found, nil
}

// readRoute reads by which protocol FRR's routing table has exactly that prefix; empty if
// it does not, or has heard of it by BGP only.
func readRoute(answers *json.Decoder) (protocol string, err error) {
	var shown map[string][]struct {
		Protocol string `json:"protocol"`
	}
	if err := answers.Decode(&shown); err != nil {
		return "", err
	}
	for _, routes := range shown {
		for _, r := range routes {
			if r.Protocol != "bgp" {
				return r.Protocol, nil
			}
		}
	}
	return "", nil
}

// neighbor is one of FRR's, as it shows it.
type neighbor struct {
	RemoteAS uint32 `json:"remoteAs"`
	LocalAS  uint32 `json:"localAs"`
	State    string `json:"bgpState"`
	ShutDown bool   `json:"adminShutDown"`
	Reset    string `json:"lastResetDueTo"`
	Notified string `json:"lastNotificationReason"`
	BFD      *bfd   `json:"peerBfdInfo"`
	// What it is told to send to, for IPv6: the global address, and the link-local one.
	Hop6     string                     `json:"nexthopGlobal"`
	HopLink6 string                     `json:"nexthopLocal"`
	Families map[string]json.RawMessage `json:"addressFamilyInfo"`

	lost6 bool // IPv6 addresses of which it is told lead nowhere
}

// lacksHop6 reports whether FRR has no next hop for IPv6 in the session. It takes the
// link's own IPv6 address when the session begins, and if there was none, IPv4's in the
// form of IPv6, until the session ends, whatever a route-map sets (8.4); routers take that,
// and lead nobody to it.
func (n neighbor) lacksHop6() bool {
	hop, err := netip.ParseAddr(n.Hop6)
	if err != nil || n.State != "Established" || n.Families["ipv6Unicast"] == nil {
		return false
	}
	link, err := netip.ParseAddr(n.HopLink6)
	return (hop.Is4In6() || hop.IsUnspecified()) && (err != nil || link.IsUnspecified())
}

type bfd struct {
	Status string `json:"status"`
}

// readNeighbors reads those that FRR has.
func readNeighbors(answers *json.Decoder) (map[netip.Addr]neighbor, error) {
	var shown map[string]json.RawMessage
	if err := answers.Decode(&shown); err != nil {
		return nil, err
	}
	found := map[netip.Addr]neighbor{}
	for name, raw := range shown {
		addr, err := netip.ParseAddr(name)
		if err != nil {
			continue // something else, or one that is named by its interface
		}
		var n neighbor
		if err := json.Unmarshal(raw, &n); err != nil {
			return nil, fmt.Errorf("neighbour %s: %w", name, err)
		}
		found[addr] = n
	}
	return found, nil
}

// unwell says what is wrong with the neighbours that have to be told, or nil. If none
// are named, one that is well is enough.
func (e *Endpoint) unwell(peers map[netip.Addr]neighbor) error {
	if len(e.o.Neighbors) > 0 {
		var errs []error
		for _, n := range e.o.Neighbors {
			p, ok := peers[n]
			if !ok {
				errs = append(errs, fmt.Errorf("FRR has no neighbour %s", n))
				continue
			}
			errs = append(errs, p.wrong(n))
		}
		return joined(errs)
	}
	if len(peers) == 0 {
		return errors.New("FRR has no neighbours")
	}
	var errs []error
	for _, n := range slices.SortedFunc(maps.Keys(peers), netip.Addr.Compare) {
		err := peers[n].wrong(n)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return joined(errs)
}

// wrong says what is wrong with the session, or nil.
func (n neighbor) wrong(at netip.Addr) error {
	who := fmt.Sprintf("neighbour %s (AS %d, we are AS %d there)", at, n.RemoteAS, n.LocalAS)
	switch {
	case n.ShutDown:
		return fmt.Errorf("%s is shut down in FRR's configuration", who)
	case n.State == "Established" && n.BFD != nil && n.BFD.Status == "Down":
		return fmt.Errorf("%s: BFD is down: is it on at both ends, and does bfdd run?", who)
	case n.lost6:
		return fmt.Errorf("%s: FRR has no next hop for IPv6 in this session, which began before this host had an IPv6 address on that link: once it has one, `clear bgp %s`", who, at)
	case n.State == "Established":
		return nil
	}
	// Not its state, which goes to and fro between two looks.
	why := n.Reset
	if n.Notified != "" {
		why += ", " + n.Notified
	}
	return fmt.Errorf("%s has no session, the last that FRR knows is %q: does the router expect this host, with these AS numbers and the same password?", who, why)
}

// joined is several errors on one line, as they are shown in a table.
func joined(errs []error) error {
	var texts []string
	for _, err := range errs {
		if err != nil {
			texts = append(texts, err.Error())
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return errors.New(strings.Join(texts, "; "))
}
