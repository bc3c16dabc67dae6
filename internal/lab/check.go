package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/db/program"
)

// Check says what this machine lacks for a lab, all at once, each with its
// mend.
func Check(o Options) error {
	if o.Flavor == "" {
		o.Flavor = config.MariaDB
	}
	var lacks []error
	if os.Geteuid() != 0 {
		lacks = append(lacks, errors.New("a lab makes network namespaces: run it as root"))
	}
	programs := []struct{ name, pack string }{
		{"ip", "iproute2"}, {"nft", "nftables"},
	}
	if _, _, err := program.Server(o.Flavor); err != nil {
		lacks = append(lacks, err)
	} else if o.Flavor == config.MariaDB {
		programs = append(programs, struct{ name, pack string }{"mariadb-install-db", "mariadb-server"})
	}
	if o.Manager == ByKeepalived {
		programs = append(programs, struct{ name, pack string }{"keepalived", "keepalived"})
	}
	if o.Store == StoreExternal {
		programs = append(programs, struct{ name, pack string }{"etcd", "etcd-server"})
	}
	roads, err := roadsOf(o.Roads)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOptions, err)
	}
	for _, r := range roads {
		lacks = append(lacks, r.lacks()...)
	}
	if o.Disks {
		if err := CanDisks(); err != nil {
			lacks = append(lacks, err)
		}
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p.name); err != nil {
			lacks = append(lacks, fmt.Errorf("no program %s: install the package %s", p.name, p.pack))
		}
	}
	if o.Manager == ByBaton || o.Manager == "" {
		if _, err := os.Stat(o.Binary); err != nil {
			lacks = append(lacks, fmt.Errorf("no baton binary: %w; `make build` makes one", err))
		}
	}
	return errors.Join(lacks...)
}
