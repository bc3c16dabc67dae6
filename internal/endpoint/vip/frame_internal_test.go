package vip

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"

	"github.com/baton-db/baton/internal/core/cluster"
)

var (
	testMAC = net.HardwareAddr{0x02, 0x00, 0x0a, 0x4d, 0x00, 0x0c}
	test4   = netip.MustParseAddr("10.77.0.50")
	test6   = netip.MustParseAddr("fd77::50")
)

// octets reads hexadecimal with blanks, as the frames below are written.
func octets(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The frames are written out by hand from RFC 826 and RFC 5227; the ICMPv6
// ones are put together by golang.org/x/net, checksum included.
func TestFramesAreWhatTheRFCsSayByteForByte(t *testing.T) {
	ask := netip.MustParseAddr("fe80::c")
	for name, tt := range map[string]struct{ got, want []byte }{
		"announcement, request form": {announcements(test4, testMAC)[0], octets(t,
			`ffffffffffff 02000a4d000c 0806  0001 0800 06 04 0001  02000a4d000c 0a4d0032  000000000000 0a4d0032`)},
		"announcement, reply form with our own address as target": {announcements(test4, testMAC)[1], octets(t,
			`ffffffffffff 02000a4d000c 0806  0001 0800 06 04 0002  02000a4d000c 0a4d0032  02000a4d000c 0a4d0032`)},
		"probe": {question(test4, testMAC, netip.Addr{}), octets(t,
			`ffffffffffff 02000a4d000c 0806  0001 0800 06 04 0001  02000a4d000c 00000000  000000000000 0a4d0032`)},
		"unsolicited neighbour advertisement": {announcements(test6, testMAC)[0], icmpFrame(t,
			"333300000001", test6, netip.MustParseAddr("ff02::1"), ipv6.ICMPTypeNeighborAdvertisement,
			octets(t, `20000000  fd770000000000000000000000000050  02 01 02000a4d000c`))},
		"duplicate address detection": {question(test6, testMAC, netip.Addr{}), icmpFrame(t,
			"3333ff000050", netip.IPv6Unspecified(), netip.MustParseAddr("ff02::1:ff00:50"), ipv6.ICMPTypeNeighborSolicitation,
			octets(t, `00000000  fd770000000000000000000000000050`))},
		"neighbour solicitation": {question(test6, testMAC, ask), icmpFrame(t,
			"3333ff000050", ask, netip.MustParseAddr("ff02::1:ff00:50"), ipv6.ICMPTypeNeighborSolicitation,
			octets(t, `00000000  fd770000000000000000000000000050  01 01 02000a4d000c`))},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(hex.Dump(tt.want), hex.Dump(tt.got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// icmpFrame builds what the wire should show without this package's code.
func icmpFrame(t testing.TB, dstMAC string, src, dst netip.Addr, kind icmp.Type, body []byte) []byte {
	t.Helper()
	msg := icmp.Message{Type: kind, Body: &icmp.RawBody{Data: body}}
	b, err := msg.Marshal(icmp.IPv6PseudoHeader(src.AsSlice(), dst.AsSlice()))
	if err != nil {
		t.Fatal(err)
	}
	f := octets(t, dstMAC+"02000a4d000c 86dd 60000000")
	f = binary.BigEndian.AppendUint16(f, uint16(len(b)))
	f = append(f, 58, 255)
	f = append(append(f, src.AsSlice()...), dst.AsSlice()...)
	return append(f, b...)
}

func TestWhatAFrameClaims(t *testing.T) {
	other := netip.MustParseAddr("10.77.0.9")
	damaged := func(f []byte, at int) []byte {
		f = bytes.Clone(f)
		f[at] ^= 0xff
		return f
	}
	na := announcements(test6, testMAC)[0]
	noOption := icmpFrame(t, "333300000001", test6, netip.IPv6LinkLocalAllNodes(), ipv6.ICMPTypeNeighborAdvertisement, octets(t, `20000000 fd770000000000000000000000000050`))
	brokenOption := icmpFrame(t, "333300000001", test6, netip.IPv6LinkLocalAllNodes(), ipv6.ICMPTypeNeighborAdvertisement, octets(t, `20000000 fd770000000000000000000000000050 02 00 02000a4d000d`))
	for name, tt := range map[string]struct {
		frame []byte
		want  string
	}{
		"an announcement":                                     {announcements(test4, testMAC)[0], "10.77.0.50 02:00:0a:4d:00:0c"},
		"an answer to somebody":                               {arpFrame(arpReply, testMAC, test4, noMAC(), other), "10.77.0.50 02:00:0a:4d:00:0c"},
		"a question claims its sender's address":              {arpFrame(arpRequest, testMAC, other, noMAC(), test4), "10.77.0.9 02:00:0a:4d:00:0c"},
		"a probe claims nothing":                              {question(test4, testMAC, netip.Addr{}), ""},
		"ARP padded to the least size of a frame":             {append(announcements(test4, testMAC)[0], make([]byte, 18)...), "10.77.0.50 02:00:0a:4d:00:0c"},
		"ARP cut short":                                       {announcements(test4, testMAC)[0][:41], ""},
		"ARP for something else than IPv4":                    {damaged(announcements(test4, testMAC)[0], 16), ""},
		"an advertisement":                                    {na, "fd77::50 02:00:0a:4d:00:0c"},
		"an advertisement, padded":                            {append(bytes.Clone(na), 0, 0, 0), "fd77::50 02:00:0a:4d:00:0c"},
		"an advertisement without option: the frame's source": {noOption, "fd77::50 02:00:0a:4d:00:0c"},
		"an advertisement whose option has no length":         {brokenOption, "fd77::50 02:00:0a:4d:00:0c"},
		"an advertisement from beyond a router":               {damaged(na, 21), ""},
		"an advertisement with a wrong checksum":              {damaged(na, 70), ""},
		"an advertisement cut short":                          {na[:77], ""},
		"a solicitation claims its source":                    {question(test6, testMAC, netip.MustParseAddr("fd77::9")), "fd77::9 02:00:0a:4d:00:0c"},
		"duplicate address detection claims nothing":          {question(test6, testMAC, netip.Addr{}), ""},
		"something else":                                      {append(bytes.Clone(na[:12]), 8, 0), ""},
		"nothing":                                             {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if c, ok := claimIn(tt.frame); ok {
				got = c.ip.String() + " " + c.mac.String()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzClaimIn(f *testing.F) {
	for _, frame := range append(announcements(test4, testMAC), announcements(test6, testMAC)[0], question(test6, testMAC, test6)) {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if c, ok := claimIn(frame); ok && (!c.ip.IsValid() || c.ip.IsUnspecified() || len(c.mac) != 6) {
			t.Errorf("claim of %v by %v", c.ip, c.mac)
		}
	})
}

func TestTheBurstIsFollowedByASlowRefresh(t *testing.T) {
	var h holding
	now := cluster.Instant(0)
	h.begin(now)
	var at []time.Duration
	for range 9 {
		now = h.next
		at = append(at, now.Sub(0))
		h.announced(now, 10*time.Second)
	}
	const ms, s = time.Millisecond, time.Second
	if diff := cmp.Diff([]time.Duration{0, 100 * ms, 500 * ms, s, 2 * s, 5 * s, 15 * s, 25 * s, 35 * s}, at); diff != "" {
		t.Error(diff)
	}
}

func TestALifetimeNeverEndsBeforeTheLease(t *testing.T) {
	for left, want := range map[time.Duration]uint32{
		time.Nanosecond: 1, 750 * time.Millisecond: 1, 950 * time.Millisecond: 1,
		951 * time.Millisecond: 2, time.Second: 2, 2 * time.Second: 3, 10 * time.Second: 11,
	} {
		if got := lifetime(left); got != want {
			t.Errorf("%v left: %d s, want %d", left, got, want)
		}
	}
}

func TestAMarkTellsClustersApartAndFitsALabel(t *testing.T) {
	a, b := markOf("shop"), markOf("shop2")
	if a.metric == b.metric || a.hash == b.hash {
		t.Error("two clusters have the same mark")
	}
	if a.metric>>24 != protocol {
		t.Errorf("the metric %#x does not show Baton's number", a.metric)
	}
	for ifname, want := range map[string]string{"eth0": "eth0:" + a.hash, "enp129s0f0np0": "enp129s0f0np0", "enp129s0f0": "enp129s0f0:" + a.hash[:4]} {
		if got := a.label(ifname); got != want || len(got) > 15 {
			t.Errorf("label on %s: %q, want %q", ifname, got, want)
		}
	}
}

func TestTheConfigurationIsCheckedAllAtOnce(t *testing.T) {
	ip := netip.MustParseAddr
	cfg := Config{
		Cluster: "my shop",
		Addresses: []Address{
			{IP: ip("10.0.0.1")}, {IP: ip("10.0.0.1"), Interface: "eth0"}, {IP: ip("::ffff:10.0.0.2"), Interface: "eth0"}, {IP: ip("fe80::1"), Interface: "eth0"},
			{IP: ip("fd00::1%eth0"), Interface: "eth0"}, {IP: ip("224.0.0.5"), Interface: "eth0"}, {Interface: "eth0"},
			{IP: ip("10.0.0.3"), Interface: "eth0", MAC: MAC{0, 0, 0x5e, 0, 1, 51}}, {IP: ip("10.0.0.4"), Interface: "eth0", MAC: MAC{3, 0, 0, 0, 0, 1}},
			{IP: ip("10.0.0.5"), Interface: "eth0", MAC: MAC{2, 0, 0, 0, 0, 1}}, {IP: ip("10.0.0.6"), Interface: "eth0", MAC: MAC{2, 0, 0, 0, 0, 1}},
		},
		Refresh: -1,
	}
	want := `cluster: "my shop" cannot name a firewall table: use up to 100 letters, digits, '_', '-' and '.'
addresses[0].interface: "" is no interface name: name the interface of the clients' network, as ` + "`ip link`" + ` shows it
addresses[1].address: 10.0.0.1 is there twice: remove one of them
addresses[2].address: ::ffff:10.0.0.2 is an IPv4 address written as IPv6; write 10.0.0.2: use a free unicast address of the clients' network
addresses[3].address: fe80::1 is link-local: clients would have to name their interface to reach it: use a free unicast address of the clients' network
addresses[4].address: fd00::1%eth0 has a zone; the interface is a key of its own: use a free unicast address of the clients' network
addresses[5].address: 224.0.0.5 is no address of a host on a network: use a free unicast address of the clients' network
addresses[6].address: there is no IP address: use a free unicast address of the clients' network
addresses[7].mac: 00:00:5e:00:01:33 is no locally administered address of one host: use one whose second digit is 2, 6, a or e, or auto
addresses[8].mac: 03:00:00:00:00:01 is no locally administered address of one host: use one whose second digit is 2, 6, a or e, or auto
addresses[10].mac: 02:00:00:00:00:01 is there twice: give each address its own, or auto
refresh: -1ns is negative: leave it out for the default`
	err := cfg.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
	if err := (Config{Cluster: "shop"}).Validate(); err == nil {
		t.Error("a configuration without addresses was accepted")
	}
}
