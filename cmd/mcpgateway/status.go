package main

import (
	"context"
	"fmt"
	"io"

	"mcpgateway/localstack"
)

const statusUsage = `Usage: mcpgateway status [--state FOLDER]

Prints what the servers do that "mcpgateway run" runs on this machine: whether each is asleep, waking or awake, the
calls under way and since the start, the streams on which clients listen, and the memory of its processes.
Exits with 1 where nothing runs.

`

func status(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := newFlags("status", statusUsage, stderr)
	state := flags.String("state", ".run", "`FOLDER` of the running system")
	if code, goOn := parseOnly(flags, args); !goOn {
		return code
	}
	if err := localstack.Status(ctx, *state, stdout); err != nil {
		fmt.Fprintln(stderr, "mcpgateway status:", err)
		return exitProblems
	}
	return exitOK
}
