package bfd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// State is a session's, as RFC 5880, section 4.1 numbers them.
type State uint8

const (
	AdminDown State = iota
	Down
	Init
	Up
)

func (s State) String() string {
	return [...]string{"down by its administrator", "down", "coming up", "up"}[s&3]
}

// Diagnostic is why a session last left Up (RFC 5880, section 4.1).
type Diagnostic uint8

const (
	NoDiagnostic  Diagnostic = 0
	Expired       Diagnostic = 1
	NeighborDown  Diagnostic = 3
	PathDown      Diagnostic = 5
	Administrator Diagnostic = 7
)

func (d Diagnostic) String() string {
	switch d {
	case NoDiagnostic:
		return "nothing known"
	case Expired:
		return "nothing was heard for the detection time"
	case NeighborDown:
		return "the neighbour says that it is down"
	case PathDown:
		return "the path is down"
	case Administrator:
		return "its administrator took it down"
	}
	return fmt.Sprintf("diagnostic %d", uint8(d))
}

// Packet is a control packet. Intervals are whole microseconds.
type Packet struct {
	Diagnostic Diagnostic
	State      State
	Poll       bool
	Final      bool
	Demand     bool
	Multiplier uint8
	Mine       uint32        // the sender's discriminator
	Yours      uint32        // the receiver's; 0: not known yet
	DesiredTx  time.Duration // how often the sender would like to send
	RequiredRx time.Duration // how often it can receive; 0: never
}

const (
	packetSize = 24
	version    = 1

	flagPoll           = 0x20
	flagFinal          = 0x10
	flagAuthentication = 0x04
	flagDemand         = 0x02
	flagMultipoint     = 0x01
)

// Parse reads a packet, and refuses what RFC 5880, section 6.8.6 has everybody
// discard whatever the session is, and what is authenticated, which is not done here.
func Parse(b []byte) (Packet, error) {
	if len(b) < packetSize {
		return Packet{}, fmt.Errorf("a packet of %d bytes: there are at least %d", len(b), packetSize)
	}
	flags, length := b[1], int(b[3])
	switch {
	case b[0]>>5 != version:
		return Packet{}, fmt.Errorf("version %d", b[0]>>5)
	case length < packetSize || length > len(b):
		return Packet{}, fmt.Errorf("it says that it has %d bytes, and has %d", length, len(b))
	case b[2] == 0:
		return Packet{}, errors.New("a detection multiplier of 0")
	case flags&flagMultipoint != 0:
		return Packet{}, errors.New("it is for many points")
	case flags&flagAuthentication != 0:
		return Packet{}, errors.New("it is authenticated, which was not agreed upon")
	}
	p := Packet{
		Diagnostic: Diagnostic(b[0] & 0x1f), State: State(flags >> 6),
		Poll: flags&flagPoll != 0, Final: flags&flagFinal != 0, Demand: flags&flagDemand != 0,
		Multiplier: b[2], Mine: binary.BigEndian.Uint32(b[4:]), Yours: binary.BigEndian.Uint32(b[8:]),
		DesiredTx: microseconds(b[12:]), RequiredRx: microseconds(b[16:]),
	}
	switch {
	case p.Mine == 0:
		return Packet{}, errors.New("it does not say whose it is")
	case p.Yours == 0 && p.State != Down && p.State != AdminDown:
		return Packet{}, fmt.Errorf("it is %s with nobody", p.State)
	}
	return p, nil
}

func microseconds(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Microsecond
}

// Append writes the packet as it is sent. It never asks for echoes.
func (p Packet) Append(b []byte) []byte {
	flags := byte(p.State)<<6 | bit(p.Poll, flagPoll) | bit(p.Final, flagFinal) | bit(p.Demand, flagDemand)
	b = append(b, version<<5|byte(p.Diagnostic)&0x1f, flags, p.Multiplier, packetSize)
	b = binary.BigEndian.AppendUint32(b, p.Mine)
	b = binary.BigEndian.AppendUint32(b, p.Yours)
	b = binary.BigEndian.AppendUint32(b, uint32(p.DesiredTx/time.Microsecond))
	b = binary.BigEndian.AppendUint32(b, uint32(p.RequiredRx/time.Microsecond))
	return binary.BigEndian.AppendUint32(b, 0)
}

func bit(set bool, flag byte) byte {
	if set {
		return flag
	}
	return 0
}
