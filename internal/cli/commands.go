package cli

import "github.com/spf13/cobra"

// otherCommands are those that bring more than a call of the API with them.
func otherCommands(e *env) []*cobra.Command {
	return []*cobra.Command{newRunCommand(e), newLabCommand(e)}
}
