package main

import (
	"context"
	"fmt"
	"io"

	"mcpgateway/localstack"
)

const runUsage = `Usage: mcpgateway run [FLAGS]

Runs the whole system on this machine: the gateway, the deployer, and a development issuer that gives anyone on this
machine a token of its users. Prints the servers' URLs, tokens and lines to paste. Ctrl-C stops all of it.

On a terminal a table below the log shows, for each server, whether it is asleep, waking or awake, the calls under way
and since the start, the streams on which clients listen, and the memory of its processes. The table rewrites itself.
Where lines one after the other are better, as for a screen reader, a file or a pipe, use --plain: it is also what
happens where the output is no terminal, or TERM is dumb. "mcpgateway status" prints the table once. NO_COLOR keeps
colours away.

`

func runStack(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := newFlags("run", runUsage, stderr)
	c := localstack.Config{Out: stdout, Log: stderr}
	flags.StringVar(&c.State, "state", ".run", "`FOLDER` for keys, sockets and logs")
	flags.StringVar(&c.Platform, "platform", "", "platform `FILE`; without it one is written that trusts the development issuer")
	flags.StringVar(&c.Catalog, "catalog", "", "catalog, a `FILE` or folder; without it and --platform, a sample")
	flags.IntVar(&c.Port, "port", 0, "`PORT` of the gateway (that of the platform's publicURL, or 8080)")
	flags.IntVar(&c.IssuerPort, "issuer-port", 0, "`PORT` of the development issuer (the one after the gateway's)")
	flags.StringVar(&c.ServerUsers, "server-users", "", "`FIRST-LAST`, free numbers of users: each server gets its own. Needs Linux and root")
	flags.BoolVar(&c.Plain, "plain", false, "no table: nothing on the terminal is rewritten")
	if code, goOn := parseOnly(flags, args); !goOn {
		return code
	}
	if err := localstack.Run(ctx, c); err != nil {
		fmt.Fprintln(stderr, "mcpgateway run:", err)
		return exitProblems
	}
	return exitOK
}
