package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/lab"
	"github.com/baton-db/baton/internal/lab/load"
)

func newLabCommand(e *env) *cobra.Command {
	var o lab.Options
	cmd := &cobra.Command{
		Use: "lab", Short: "Build a cluster on this machine, break it, and see what clients live through",
		Long: `Builds hosts from network namespaces, with a real MariaDB or MySQL server and
a real baton on each, drives real clients, and breaks things by name. Nothing leads
out of a lab, and ` + "`baton lab down`" + ` leaves nothing of it behind. It needs root and
the programs that scripts/setup.sh installs.`,
		Example: `  baton lab up
  baton lab client &
  baton lab fault crash
  baton lab heal
  baton lab down`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&o.Name, "name", "lab", "`name` of the lab: a-z and 0-9; several can be up")
	cmd.PersistentFlags().StringVar(&o.Dir, "dir", "", "`directory` of the lab (default: "+lab.BaseDir+"/NAME)")
	cmd.AddCommand(
		newLabUpCommand(e, &o), newLabStatusCommand(e, &o), newLabFaultCommand(e, &o), newLabHealCommand(e, &o),
		newLabClientCommand(e, &o), newLabBenchCommand(e, &o), newLabDemoCommand(e, &o), newLabDownCommand(e, &o),
		newLabServerCommand(&o), newLabRoadsCommand(e, &o), newLabCentreCommand(), newLabRestartCommand(&o), newLabModeCommand(e, &o), newLabScenarioCommand(e, &o),
	)
	return cmd
}

// shapeFlags are those that say what to build.
func shapeFlags(cmd *cobra.Command, o *lab.Options) {
	cmd.Flags().StringVar(&o.Profile, "profile", "fast", "fast, balanced or wan")
	flavorFlag(cmd, o)
	cmd.Flags().BoolVar(&o.Witness, "witness", false, "two servers and a witness, w1")
	cmd.Flags().IntVar(&o.Servers, "servers", 0, "`number` of servers, 2 or 3 (default: 3, with a witness 2)")
	cmd.Flags().BoolVar(&o.ClientNet, "client-net", false, "the clients have a network of their own, which the nodes track")
	cmd.Flags().BoolVar(&o.Disks, "disks", false, "every server has a disk of its own, which faults can fill, stall and break")
	cmd.Flags().BoolVar(&o.Readers, "readers", false, "with addresses for readers, 10.77.0.70 and fd77::70, which are on replicas")
	cmd.Flags().BoolVar(&o.VirtualMAC, "mac", false, "the virtual addresses have link-layer addresses that move with them, so that neighbours have nothing to learn")
	cmd.Flags().BoolVar(&o.Routed, "routed", false, "with a client, rc, behind a router, rt")
	cmd.Flags().StringSliceVar(&o.Roads, "roads", nil, "more `ways` to the primary: "+strings.Join(lab.RoadNames(), ", ")+", or "+lab.EveryRoad+"; `baton lab roads --help` says what they are")
	cmd.Flags().StringVar(&o.Store, "store", lab.StoreEmbedded, "embedded, or external: etcd on three hosts of its own, et1 to et3")
}

func flavorFlag(cmd *cobra.Command, o *lab.Options) {
	cmd.Flags().StringVar(&o.Flavor, "flavor", config.MariaDB, "`flavor` of the servers: mariadb or mysql")
}

func withFlag(cmd *cobra.Command, o *lab.Options) {
	cmd.Flags().StringVar(&o.Manager, "with", lab.ByBaton, "who moves the primary: "+strings.Join([]string{lab.ByBaton, lab.ByKeepalived, lab.ByNobody}, ", "))
}

// progress is where a lab says what it does: not in the way of JSON.
func (e *env) progress() io.Writer {
	if e.json() {
		return e.err
	}
	return e.out
}

func newLabUpCommand(e *env, o *lab.Options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "up", Short: "Build a lab and leave it running",
		Example: "  baton lab up\n  baton lab up --witness --profile balanced\n  baton lab up --routed\n  baton lab up --store external\n  baton lab up --roads dns,haproxy,nginx\n  baton lab up --flavor mysql --roads mysqlrouter\n  baton lab up --readers --mac\n  baton lab up --adopt\n  baton lab up --mode observe\n  baton lab up --flavor mysql",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := lab.Up(cmd.Context(), *o, e.progress())
			if errors.Is(err, lab.ErrOptions) {
				return usage("%w", err)
			}
			if err != nil {
				return err
			}
			if e.json() {
				return e.printLab(cmd.Context(), l)
			}
			node := l.DataNodes()[0]
			its := ""
			if l.Name != "lab" {
				its = " --name " + l.Name
			}
			fmt.Fprintf(e.out, "\nthe lab is up in %[1]s. Try:\n"+
				"  baton lab status%[5]s\n  baton status --socket %[2]s --watch\n"+
				"  baton lab client%[5]s\n  baton lab fault crash%[5]s\n  baton lab heal%[5]s\n  ip netns exec baton-%[3]s-%[4]s bash\n  baton lab down%[5]s\n",
				l.Dir, l.ControlSocket(node), l.Name, node, its)
			return nil
		},
	}
	shapeFlags(cmd, o)
	withFlag(cmd, o)
	mode := cmd.Flags().String("mode", "active", "`mode` of the agents; observe: set replication up by hand first, and let Baton only watch; baton lab mode active then takes the cluster over")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		m, err := labMode(*mode)
		o.Observe = m == cluster.Observe
		return err
	}
	cmd.Flags().BoolVar(&o.Adopt, "adopt", false, "set replication up by hand first, and let Baton take the running cluster over")
	return cmd
}

// labState is what `baton lab status` says.
type labState struct {
	Name   string          `json:"name"`
	Dir    string          `json:"dir"`
	With   string          `json:"with"`
	Steady bool            `json:"steady"`
	Wait   string          `json:"waiting_for,omitempty"`
	Hosts  []lab.HostState `json:"hosts"`
	Broken []lab.Broken    `json:"broken"`
}

func (e *env) printLab(ctx context.Context, l *lab.Lab) error {
	hosts, err := l.Look(ctx)
	if err != nil {
		return err
	}
	broken, err := l.Broken()
	if err != nil {
		return err
	}
	s := labState{Name: l.Name, Dir: l.Dir, With: l.Manager, Hosts: hosts, Broken: broken}
	if err := l.Steady(ctx); err != nil {
		s.Wait = err.Error()
	} else {
		s.Steady = true
	}
	if e.json() {
		return e.printJSON(s)
	}
	w := newTable(e.out)
	fmt.Fprintln(w, "HOST\tADDRESS\tPOWER\tSERVER\tWRITABLE\tAGENT\tHOLDS")
	for _, h := range hosts {
		holds := slices.Clone(h.Addresses)
		for _, a := range h.Readers {
			holds = append(holds, a+" (readers)")
		}
		power, runs := "on", h.Server
		if h.Store != "" {
			runs = "etcd " + h.Store
		}
		if h.Namespace == "" {
			power = "off"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%v\t%s\t%s\n", h.Host, h.Address, power, orDash(runs), h.Writable, orDash(h.Agent), orDash(strings.Join(holds, " ")))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	for _, b := range broken {
		fmt.Fprintf(e.out, "broken: %s at %s\n", b.Fault, b.Target)
	}
	if !s.Steady {
		fmt.Fprintf(e.out, "not steady: %s\n", printable(s.Wait))
	}
	return nil
}

func newLabStatusCommand(e *env, o *lab.Options) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the hosts of a lab and what is broken",
		Example: "  baton lab status\n  baton lab status -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := lab.Open(*o)
			if err != nil {
				return usage("%w", err)
			}
			return e.printLab(cmd.Context(), l)
		},
	}
}

func newLabFaultCommand(e *env, o *lab.Options) *cobra.Command {
	var list strings.Builder
	for _, f := range lab.Faults() {
		fmt.Fprintf(&list, "  %-16s %s\n", f.Name, f.Help)
	}
	return &cobra.Command{
		Use: "fault FAULT [NODE]", Short: "Break something; without a node, at the primary",
		Long:    "Breaks something in a lab, until `baton lab heal`. The faults:\n\n" + list.String(),
		Example: "  baton lab fault crash\n  baton lab fault partition db2\n  baton lab heal",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usage("name a fault and, if you like, the node that it is to hit; `baton lab fault --help` lists the faults")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(*o)
			if err != nil {
				return usage("%w", err)
			}
			f, err := lab.FaultByName(args[0])
			if err != nil {
				return usage("%w", err)
			}
			target := ""
			if len(args) == 2 {
				target = args[1]
			} else if target, err = l.Target(cmd.Context(), f); err != nil {
				return err
			}
			if err := l.Fits(f, target); err != nil {
				return usage("%w", err)
			}
			if err := l.Inject(cmd.Context(), f, target); err != nil {
				return err
			}
			if e.json() {
				return e.printJSON(lab.Broken{Fault: f.Name, Target: target})
			}
			fmt.Fprintf(e.out, "%s at %s: %s\n", f.Name, target, f.Help)
			return nil
		},
	}
}

func newLabHealCommand(e *env, o *lab.Options) *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use: "heal", Short: "End every fault",
		Example: "  baton lab heal\n  baton lab heal --wait",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := lab.Open(*o)
			if err != nil {
				return usage("%w", err)
			}
			healed, err := l.Heal(cmd.Context())
			if err != nil {
				return err
			}
			if wait {
				if err := l.WaitSteady(cmd.Context()); err != nil {
					return err
				}
			}
			if e.json() {
				return e.printJSON(append([]lab.Broken{}, healed...))
			}
			if len(healed) == 0 {
				fmt.Fprintln(e.out, "nothing was broken")
			}
			for _, b := range healed {
				fmt.Fprintf(e.out, "healed: %s at %s\n", b.Fault, b.Target)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the cluster is steady again")
	return cmd
}

func newLabDownCommand(e *env, o *lab.Options) *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "End everything that a lab has started, and remove it",
		Example: "  baton lab down\n  baton lab down --name other",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := lab.Open(*o)
			if errors.Is(err, lab.ErrNoLab) {
				fmt.Fprintf(e.err, "baton: %v\n", err) // what was wanted is so
				return nil
			}
			if err != nil {
				return err
			}
			if err := l.Down(cmd.Context()); err != nil {
				return err
			}
			fmt.Fprintf(e.progress(), "lab %s is gone: nothing of it is left\n", l.Name)
			return nil
		},
	}
}

func newLabClientCommand(e *env, o *lab.Options) *cobra.Command {
	var load load.Options
	var length time.Duration
	cmd := &cobra.Command{
		Use: "client", Short: "Write over the virtual addresses and judge what was acknowledged",
		Long: `Writes an increasing id from several clients until --for has passed or Ctrl-C,
then reports the longest time without an acknowledged write, every acknowledged
write that the primary lacks, and writes that two servers acknowledged in
overlapping time.`,
		Example: "  baton lab client --for 30s\n  baton lab client --workers 2 -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := lab.Open(*o)
			if err != nil {
				return usage("%w", err)
			}
			if load.Workers < 1 || load.Pace <= 0 || length <= 0 {
				return usage("--workers, --pace and --for must be more than nothing")
			}
			if e.screen && !e.json() {
				fmt.Fprintf(e.err, "writing to %s; Ctrl-C ends it and shows what came of it\n", l.Addresses()[0])
			}
			// A person may switch there and back: a reign of a second is one.
			v, err := l.Watch(cmd.Context(), load, length, time.Second)
			if err != nil {
				return err
			}
			if e.json() {
				return e.printJSON(v)
			}
			return e.printVerdict(v)
		},
	}
	cmd.Flags().IntVar(&load.Workers, "workers", 8, "clients that write")
	cmd.Flags().DurationVar(&load.Pace, "pace", 10*time.Millisecond, "each begins a write at most this often")
	cmd.Flags().DurationVar(&length, "for", math.MaxInt64, "how long (default: until Ctrl-C)")
	cmd.Flags().Lookup("for").DefValue = "0s" // not shown: the text says it
	return cmd
}
