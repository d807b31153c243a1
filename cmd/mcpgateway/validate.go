package main

import (
	"context"
	"fmt"
	"io"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/condition/compile"
)

const validateUsage = `Usage: mcpgateway validate [--platform FILE] [CATALOG...]

Checks the platform file, and each catalog (a file or a folder) against it; without CATALOG, the platform's own.
Prints every problem as file:line: text and exits with 1, or prints ok and exits with 0.

`

func validate(_ context.Context, args []string, stdout, stderr io.Writer) int {
	flags := newFlags("validate", validateUsage, stderr)
	platform := flags.String("platform", "platform.yaml", "platform `FILE`")
	if code, goOn := parse(flags, args); !goOn {
		return code
	}
	servers, policies, problems := catalog.Validate(*platform, flags.Args(), compile.Check)
	if len(problems) > 0 {
		fmt.Fprintln(stdout, problems.Error())
		return exitProblems
	}
	fmt.Fprintf(stdout, "ok: %d servers, %d policies\n", servers, policies)
	return exitOK
}
