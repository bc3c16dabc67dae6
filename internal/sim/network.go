package sim

import "time"

// network is what lies between hosts. The last index is the clients'.
type network struct {
	w    *world
	cut  [][]int // how many faults cut the way from one to another
	slow [][]int // how many slow it down and lose packets
}

func newNetwork(w *world, n int) *network {
	grid := func() [][]int {
		g := make([][]int, n)
		for i := range g {
			g[i] = make([]int, n)
		}
		return g
	}
	return &network{w: w, cut: grid(), slow: grid()}
}

// clientsAt is the index of the clients' host.
func (n *network) clientsAt() int { return len(n.cut) - 1 }

// open reports whether a packet gets from one host to another.
func (n *network) open(from, to int) bool { return from == to || n.cut[from][to] == 0 }

// both reports whether two hosts can speak with each other.
func (n *network) both(a, b int) bool { return n.open(a, b) && n.open(b, a) }

// delay is how long a packet is under way. A lost one is sent again.
func (n *network) delay(from, to int) time.Duration {
	if from == to {
		return n.w.between(50*time.Microsecond, 300*time.Microsecond)
	}
	d := n.w.between(200*time.Microsecond, n.w.draw.link)
	if n.slow[from][to] > 0 {
		d += n.w.between(0, n.w.settings.Lease/4)
		if n.w.chance(0.05) {
			d += n.w.between(200*time.Millisecond, time.Second)
		}
	} else if n.w.chance(0.002) {
		d += 200 * time.Millisecond
	}
	return d
}
