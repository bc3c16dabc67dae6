// Command run answers whether the simulator finds a seed that breaks a promise.
// It never touches anything outside of itself. The one rule: it ends with
// status 1 if a promise was broken, with the trace and the command that shows it
// again.
//
//	go run ./internal/sim/run -seeds 1000
//	go run ./internal/sim/run -seed 1104 -trace
//	go run ./internal/sim/run -story "a store that is away" -seeds 20
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/baton-db/baton/internal/sim"
)

func main() {
	seeds := flag.Uint64("seeds", 100, "how many seeds to run, one after the other")
	from := flag.Uint64("from", 0, "the first seed")
	seed := flag.Int64("seed", -1, "run this seed alone")
	trace := flag.Bool("trace", false, "print the whole trace of the seed")
	lines := flag.Int("lines", 60, "so many last lines of the trace of a broken promise are printed")
	story := flag.String("story", "", "tell this story, with the delays of each seed, and nothing else; ? lists them")
	profile := flag.String("cpuprofile", "", "write a CPU profile to this file")
	flag.Parse()
	if *seed >= 0 {
		*from, *seeds = uint64(*seed), 1
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	var broken bool
	if *story != "" {
		broken = tell(*story, *from, *seeds, *trace)
	} else {
		broken = run(*from, *seeds, *trace, *lines)
	}
	if *profile != "" {
		pprof.StopCPUProfile()
	}
	if broken {
		os.Exit(1)
	}
}

// used is the processor time that this process has taken.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// tell tells a story with the delays of some seeds.
func tell(name string, from, seeds uint64, trace bool) (broken bool) {
	told := 0
	for s := from; s < from+seeds; s++ {
		t, err := sim.Tell(name, s, trace)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%v; there are\n  %s\n", err, strings.Join(sim.Stories(), "\n  "))
			os.Exit(2)
		}
		if trace {
			fmt.Println(t.Trace)
		}
		if t.Told {
			told++
		}
		if t.Wrong != "" {
			broken = true
			fmt.Printf("BROKEN by seed %d: %s\n", s, t.Wrong)
		}
	}
	fmt.Printf("%d of %d came to the point\n", told, seeds)
	return broken
}

func run(from, seeds uint64, trace bool, lines int) (broken bool) {
	var sum sim.Summary
	for s := from; s < from+seeds; s++ {
		r := sim.Run(sim.Options{Seed: s, Trace: trace})
		sum.Add(r)
		if trace {
			fmt.Println(strings.Join(r.Trace, "\n"))
		} else if r.Violation != "" {
			fmt.Println(sim.Story(r, lines))
		}
	}
	fmt.Print(sum.String(used()))
	return len(sum.Broken) > 0
}
