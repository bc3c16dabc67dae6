// Command baton moves the write role of a database cluster. See `baton --help`.
package main

import (
	"os"

	"github.com/baton-db/baton/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, cli.Wiring{})) }
