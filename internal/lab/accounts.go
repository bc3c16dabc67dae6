package lab

import (
	"crypto/rand"
	"fmt"
	"os"
	"strings"

	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/mariadb"
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

// accountsSQL makes the accounts and the application's table. Every server
// gets them before it writes its first binary log, so all start out equal.
func (s Secrets) accountsSQL() string {
	return strings.Join([]string{
		"FLUSH PRIVILEGES;", // the server that runs this was started without them
		strings.Join(mariadb.LeastPrivilegeSQL(mariadb.Accounts{
			Agent:       db.Account{User: agentUser, Password: s.Agent},
			Replication: db.Account{User: replicationUser, Password: s.Replication},
			Probe:       db.Account{User: probeUser, Password: s.Probe},
		}), ";\n") + ";",
		load.Schema,
		fmt.Sprintf("CREATE USER %s@'%%' IDENTIFIED BY '%s';", appUser, s.App),
		fmt.Sprintf("GRANT SELECT, INSERT, UPDATE, DELETE ON app.* TO %s@'%%';", appUser),
		"",
	}, "\n")
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
