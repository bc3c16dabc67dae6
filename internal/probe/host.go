package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// pinger sends ICMP echo requests (RFC 792, RFC 4443 section 4) over a raw
// socket that is connected: the kernel passes on only what comes from the host.
type pinger struct {
	address netip.Addr
	conn    *net.IPConn
	id, seq uint16
}

func (p *pinger) v4() bool { return p.address.Unmap().Is4() }

// ping returns once the host has answered, or ctx has ended.
func (p *pinger) ping(ctx context.Context) (Class, string) {
	if err := p.open(); err != nil {
		return classify(err) // there may be no way there
	}
	class, detail := classify(p.echo(ctx))
	if class != Answered && class != NoAnswer {
		p.close() // the next one begins anew
	}
	return class, detail
}

func (p *pinger) open() error {
	if p.conn != nil {
		return nil
	}
	network := "ip6:ipv6-icmp"
	if p.v4() {
		network = "ip4:icmp"
	}
	to := &net.IPAddr{IP: p.address.Unmap().AsSlice(), Zone: p.address.Zone()}
	conn, err := net.DialIP(network, nil, to)
	if err != nil {
		return fmt.Errorf("open a socket to ping %s: %w", p.address, err)
	}
	p.conn, p.id = conn, uint16(rand.Uint32())
	return nil
}

func (p *pinger) close() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
}

func (p *pinger) echo(ctx context.Context) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		return errors.New("a ping needs a deadline")
	}
	if err := p.conn.SetDeadline(deadline); err != nil {
		return err
	}
	// A context that is cancelled before its deadline ends the wait too.
	stop := context.AfterFunc(ctx, func() { p.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	p.seq++
	request := icmp.Message{Type: ipv6.ICMPTypeEchoRequest, Body: &icmp.Echo{ID: int(p.id), Seq: int(p.seq), Data: p.payload()}}
	reply, protocol := icmp.Type(ipv6.ICMPTypeEchoReply), 58
	if p.v4() {
		request.Type, reply, protocol = ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply, 1
	}
	packet, err := request.Marshal(nil) // the kernel fills in the checksum of version 6
	if err != nil {
		return err
	}
	if _, err := p.conn.Write(packet); err != nil {
		return err
	}
	buffer := make([]byte, 1500)
	for {
		n, _, err := p.conn.ReadFrom(buffer)
		if err != nil {
			return err
		}
		m, err := icmp.ParseMessage(protocol, buffer[:n])
		if err != nil || m.Type != reply {
			continue
		}
		if e, ok := m.Body.(*icmp.Echo); ok && e.ID == int(p.id) && e.Seq == int(p.seq) {
			return nil
		}
	}
}

// payload makes requests of this process look like nobody else's.
func (p *pinger) payload() []byte {
	return binary.BigEndian.AppendUint32([]byte("baton"), uint32(p.id)<<16|uint32(p.seq))
}
