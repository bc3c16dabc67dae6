package lab

import (
	"crypto/rand"
	"fmt"
	"os"
	"strings"

	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/flavor"
	"github.com/baton-db/baton/internal/lab/load"
)

func newSecrets() Secrets {
	return Secrets{Agent: rand.Text(), Replication: rand.Text(), Probe: rand.Text(), App: rand.Text()}
}

// The accounts that Baton uses.
const (
	agentUser       = "baton"
	replicationUser = "baton_repl"
	probeUser       = "baton_probe"
)

// accountsSQL makes the accounts, with no more rights than Baton says it needs,
// and the application's table; a statement a line. Every server gets them
// before it writes its first binary log, so all start out equal.
func (l *Lab) accountsSQL() (string, error) {
	driver, err := flavor.Of(l.Flavor)
	if err != nil {
		return "", err
	}
	var from []string
	for _, n := range l.Nodes() {
		from = append(from, l.address(n))
	}
	statements := []string{"FLUSH PRIVILEGES"} // the server that runs this was started without them
	statements = append(statements, driver.Accounts(db.Accounts{
		Agent:       db.Account{User: agentUser, Password: l.Secrets.Agent},
		Replication: db.Account{User: replicationUser, Password: l.Secrets.Replication},
		Probe:       db.Account{User: probeUser, Password: l.Secrets.Probe},
		From:        from,
	})...)
	statements = append(statements, load.Schema()...)
	statements = append(statements,
		fmt.Sprintf("CREATE USER %s@'%%' IDENTIFIED BY '%s'", appUser, l.Secrets.App),
		fmt.Sprintf("GRANT SELECT, INSERT, UPDATE, DELETE ON app.* TO %s@'%%'", appUser))
	return strings.Join(statements, ";\n") + ";\n", nil
}

// writeSecrets puts the passwords where the agents read them.
func (l *Lab) writeSecrets() error {
	if err := os.MkdirAll(l.path("secrets"), 0o700); err != nil {
		return fmt.Errorf("make the directory of secrets: %w", err)
	}
	for name, secret := range map[string]string{
		"agent": l.Secrets.Agent, "repl": l.Secrets.Replication, "probe": l.Secrets.Probe, "app": l.Secrets.App,
	} {
		if err := writeFile(l.path("secrets", name+".password"), []byte(secret+"\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}
