package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"mcpgateway/localstack"
	"mcpgateway/localstack/lambda"
)

const runUsage = `Usage: mcpgateway run [FLAGS]

Runs the whole system on this machine: the gateway, the deployer, the authorization server at which clients sign people in,
the keeper of records of calls, and a development issuer that lets anyone on this machine be any of its users. Prints the servers' URLs, which are all that
a client needs, and tokens and lines to paste for programs. Ctrl-C stops all of it.

On a terminal a table below the log shows, for each server, whether it is asleep, waking or awake, the calls under way
and since the start, the streams on which clients listen, and the memory of its processes. The table rewrites itself.
Where lines one after the other are better, as for a screen reader, a file or a pipe, use --plain: it is also what
happens where the output is no terminal, or TERM is dumb. "mcpgateway status" prints the table once. NO_COLOR keeps
colours away.

With --deployer docker every server is a group of containers of this machine's Docker Engine: shim, server and filters apart,
with a network that no other server reaches. The catalog may have runtime.container then. A program of the catalog
(runtime.command) must be static, and mcpgateway bake makes images of npx and uvx servers.

With --lambda the gateway runs as on AWS Lambda: one process for each call and stream under way, frozen between two, billed
by the millisecond. What it would have cost is printed at the end. There is no table and no status then.

`

func runStack(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := newFlags("run", runUsage, stderr)
	c := localstack.Config{Out: stdout, Log: stderr}
	flags.StringVar(&c.State, "state", ".run", "`FOLDER` for keys, sockets and logs")
	flags.StringVar(&c.Platform, "platform", "", "platform `FILE`; without it one is written that trusts the development issuer")
	flags.StringVar(&c.Catalog, "catalog", "", "catalog, a `FILE` or folder; without it and --platform, a sample")
	flags.IntVar(&c.Port, "port", 0, "`PORT` of the gateway (that of the platform's publicURL, or 8080)")
	flags.IntVar(&c.IssuerPort, "issuer-port", 0, "`PORT` of the authorization server (the one after the gateway's)")
	flags.IntVar(&c.LoginPort, "login-port", 0, "`PORT` of the development issuer (the one after the authorization server's)")
	flags.IntVar(&c.AuditPort, "audit-port", 0, "`PORT` where auditors find records of calls (the one after the development issuer's)")
	flags.StringVar(&c.ServerUsers, "server-users", "", "`FIRST-LAST`, free numbers of users: each server gets its own. Needs Linux and root")
	flags.StringVar(&c.Deployer, "deployer", "", "where servers run, `KIND`: process or docker, in containers of the engine at DOCKER_HOST")
	flags.BoolVar(&c.Plain, "plain", false, "no table: nothing on the terminal is rewritten")
	flags.Func("lambda", "`FRONT` of AWS: url (a function URL) or rest (a REST API); then, each after a comma, remap (as they\n"+
		"rename WWW-Authenticate) and lag (each chunk leaves with the next one)", func(text string) (err error) {
		c.Lambda, err = parseLambda(text)
		return err
	})
	if code, goOn := parseOnly(flags, args); !goOn {
		return code
	}
	if err := localstack.Run(ctx, c); err != nil {
		fmt.Fprintln(stderr, "mcpgateway run:", err)
		return exitProblems
	}
	return exitOK
}

// parseLambda reads the value of --lambda.
func parseLambda(text string) (*localstack.Lambda, error) {
	front, modes, _ := strings.Cut(text, ",")
	kinds := map[string]lambda.EventKind{"url": lambda.FunctionURL, "rest": lambda.RESTAPI}
	kind, known := kinds[front]
	if !known {
		return nil, fmt.Errorf("%q is no front: url or rest", front)
	}
	l := &localstack.Lambda{Events: kind}
	for mode := range strings.SplitSeq(modes, ",") {
		switch mode {
		case "":
		case "remap":
			l.RemapAuthenticate = true
		case "lag":
			l.LagOneChunk = true
		default:
			return nil, fmt.Errorf("%q is no mode: remap or lag", mode)
		}
	}
	return l, nil
}
