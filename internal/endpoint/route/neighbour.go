package route

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// errSilent says that the kernel takes a gateway for dead.
var errSilent = errors.New("the gateway does not answer ARP or neighbour discovery")

// answers asks the kernel whether a gateway has failed to answer. The kernel passes such
// a member of a group over, whatever its weight, and so never asks it again: it is told
// to. Nothing is sent to the gateway before that has answered.
func (k *kernel) answers(h hop) error {
	found, err := k.ask(unix.RTM_GETNEIGH, 0, neighbourHeader(h, 0), netlink.Attribute{Type: unix.NDA_DST, Data: h.gateway.AsSlice()})
	switch {
	case errors.Is(err, syscall.ENOENT):
		return nil // nobody has asked yet
	case err != nil:
		return fmt.Errorf("see whether the gateway answers: %w", err)
	case len(found) != 1 || len(found[0].Data) < unix.SizeofNdMsg:
		return errors.New("see whether the gateway answers: the kernel did not say")
	}
	if binary.NativeEndian.Uint16(found[0].Data[8:])&unix.NUD_FAILED == 0 {
		return nil
	}
	if _, err := k.ask(unix.RTM_NEWNEIGH, netlink.Acknowledge, neighbourHeader(h, unix.NTF_USE), netlink.Attribute{Type: unix.NDA_DST, Data: h.gateway.AsSlice()}); err != nil && !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("ask for the gateway again: %w", err)
	}
	return errSilent
}

// neighbourHeader is a struct ndmsg.
func neighbourHeader(h hop, flags uint8) []byte {
	b := []byte{familyOf(h.gateway), 0, 0, 0}
	b = binary.NativeEndian.AppendUint32(b, uint32(h.link))
	return append(b, 0, 0, flags, 0)
}
