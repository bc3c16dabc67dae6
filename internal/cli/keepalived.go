package cli

import (
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/config"
)

func newConfigKeepalivedCommand(e *env) *cobra.Command {
	var addresses []string
	k := config.Keepalived{}
	cmd := &cobra.Command{
		Use: "keepalived", Short: "Write a keepalived.conf with which Baton decides who has the address",
		Long: `For a site that must keep VRRP: keepalived moves the address, and asks the daemon of
its host (` + "`baton check primary`" + `) whether it may have it. The address must not be one
of addresses:, which Baton binds itself. Write it on every data node with that node's
own configuration.`,
		Example: "  baton config keepalived --address 10.77.0.60/24 --interface eth0 --router-id 60 > /etc/keepalived/keepalived.conf",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			c, found := config.Load(e.config)
			if c == nil {
				return usage("%w", found.Err())
			}
			for _, text := range addresses {
				a, err := netip.ParsePrefix(text)
				if err != nil {
					return usage("--address %s: write it with its prefix length, such as 10.77.0.60/24", text)
				}
				k.Addresses = append(k.Addresses, a)
			}
			if k.Program == "" {
				program, err := os.Executable()
				if err != nil {
					return err
				}
				k.Program = program
			}
			text, err := c.Keepalived(k)
			if err != nil {
				return usage("%w", err)
			}
			_, err = e.out.Write([]byte(text))
			return err
		},
	}
	cmd.Flags().StringArrayVar(&addresses, "address", nil, "`address` with its prefix length; may be given several times")
	cmd.Flags().StringVar(&k.Interface, "interface", "", "the `interface` that has it")
	cmd.Flags().IntVar(&k.RouterID, "router-id", 0, "VRRP's virtual router `id`, 1 to 255, one of its own in the network")
	cmd.Flags().DurationVar(&k.Advert, "advert", 100*time.Millisecond, "`time` between two advertisements")
	cmd.Flags().StringVar(&k.Program, "program", "", "`path` of baton on that host (default: of this one)")
	return cmd
}
