package main

import (
	"context"
	"errors"
	"flag"
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
	flags := flag.NewFlagSet("status", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), statusUsage)
		flags.PrintDefaults()
	}
	state := flags.String("state", ".run", "`FOLDER` of the running system")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "mcpgateway status: unexpected argument %.40q\n", flags.Arg(0))
		return exitUsage
	}
	if err := localstack.Status(ctx, *state, stdout); err != nil {
		fmt.Fprintln(stderr, "mcpgateway status:", err)
		return exitProblems
	}
	return exitOK
}
