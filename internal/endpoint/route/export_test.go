package route

// Multipath has the endpoint do as where the kernel has no nexthop objects.
func (e *Endpoint) Multipath() { e.without = true }

// BlockOf is the first number of an owner's block.
func BlockOf(owner string) uint32 { return blockOf(owner) }

// AskUnknown asks a namespace's kernel for a kind of message that it does not have, as one
// before 5.3 is asked for nexthop objects.
func AskUnknown(namespace int) error {
	k, err := dialKernel(namespace)
	if err != nil {
		return err
	}
	defer k.conn.Close()
	_, err = k.dump(1<<10, nexthopHeader(0, 0))
	return err
}
