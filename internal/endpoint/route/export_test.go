package route

// Multipath has the endpoint do as where the kernel has no nexthop objects.
func (e *Endpoint) Multipath() { e.without = true }

// BlockOf is the first number of an owner's block.
func BlockOf(owner string) uint32 { return blockOf(owner) }
