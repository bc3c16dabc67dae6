// Package e2e answers whether Baton as a whole holds what it promises: the real
// binary, real servers and real clients in a lab, one fault after another.
//
// It never judges how fast something was: that is what `baton lab bench` is
// for. The one rule: every test leaves the cluster healed and steady, or a new
// one in its place.
package e2e
