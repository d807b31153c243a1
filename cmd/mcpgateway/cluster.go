package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"mcpgateway/knative/operate"
)

const logsUsage = `Usage: mcpgateway logs ID [FLAGS]

Prints what the pods of a server in a cluster log, its shim and itself, by your kubeconfig (the platform file's, or
$KUBECONFIG). Where there are several containers each line stands behind the name of its pod and container. The logs of a
server that sleeps went with its pod: --follow waits for the next. Characters that would move a terminal's cursor are
printed as ?. Exits with 1 where there is nothing to read.

`

const wakeUsage = `Usage: mcpgateway wake ID [FLAGS]

Wakes a server in a cluster, by sending through Knative's ingress what its shim answers without doing anything, and prints
what happens meanwhile and how long it took. Where the ingress is not reached from here, the API server passes it on, by
your kubeconfig (the platform file's, or $KUBECONFIG). Exits with 1 where the server does not start, and says why.

`

// aboutServer are the flags of verbs about one server.
type aboutServer struct {
	platform, owner *string
}

func newServerFlags(flags *flag.FlagSet) aboutServer {
	return aboutServer{
		platform: flags.String("platform", "platform.yaml", "platform `FILE` of the system in the cluster"),
		owner:    flags.String("owner", "", "the instance of one user, by the 16 hex `DIGITS` that mcpgateway status shows"),
	}
}

// parseID reads arguments of which one, before or between the flags, is a server's id.
func parseID(flags *flag.FlagSet, args []string) (id string, code int, goOn bool) {
	for {
		if code, goOn = parse(flags, args); !goOn {
			return "", code, false
		}
		if flags.NArg() == 0 {
			break
		}
		if id != "" {
			fmt.Fprintf(flags.Output(), "mcpgateway %s: unexpected argument %.40q\n", flags.Name(), flags.Arg(0))
			return "", exitUsage, false
		}
		id, args = flags.Arg(0), flags.Args()[1:]
	}
	if id == "" {
		fmt.Fprintf(flags.Output(), "mcpgateway %s: which server? Its ID is missing\n", flags.Name())
		return "", exitUsage, false
	}
	return id, exitOK, true
}

func logs(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := newFlags("logs", logsUsage, stderr)
	about := newServerFlags(flags)
	container := flags.String("container", "", "only this `CONTAINER`: shim, server, or the name of another in the pod")
	follow := flags.Bool("follow", false, "go on, also when the server sleeps and wakes, until Ctrl-C")
	previous := flags.Bool("previous", false, "of containers before their last restart")
	tail := flags.Int64("tail", 0, "at most so many `LINES` of each container; 0 is all")
	id, code, goOn := parseID(flags, args)
	if !goOn {
		return code
	}
	if *tail < 0 || *follow && *previous {
		fmt.Fprintln(stderr, "mcpgateway logs: --tail takes a number from 0 on, and --follow does not go with --previous")
		return exitUsage
	}
	cluster, err := operate.Open(*about.platform)
	if err == nil {
		err = cluster.Logs(ctx, operate.LogRequest{Server: id, Owner: *about.owner, Container: *container, Follow: *follow, Previous: *previous, Tail: *tail}, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "mcpgateway logs:", err)
		return exitProblems
	}
	return exitOK
}

func wake(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := newFlags("wake", wakeUsage, stderr)
	about := newServerFlags(flags)
	id, code, goOn := parseID(flags, args)
	if !goOn {
		return code
	}
	cluster, err := operate.Open(*about.platform)
	if err == nil {
		err = cluster.Wake(ctx, id, *about.owner, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "mcpgateway wake:", err)
		return exitProblems
	}
	return exitOK
}
