package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"mcpgateway/knative/operate"
	"mcpgateway/localstack"
)

const statusUsage = `Usage: mcpgateway status [--state FOLDER | --platform FILE] [--json]

Prints what the servers do that "mcpgateway run" runs on this machine: whether each is asleep, waking or awake, the
calls under way and since the start, the streams on which clients listen, and the memory of its processes.
Exits with 1 where nothing runs.

With --platform, a platform file that has deployer.knative, it prints what the servers of that cluster do, by your
kubeconfig (the file's, or $KUBECONFIG): whether each is deployed, whether it is asleep, starting or awake and for how
long, about how long ago its last call ended before it fell asleep, its revision, the digests of its images, and what
keeps it from starting, with the last lines of the log. Users are not named: 16 hex digits stand for each.
Exits with 1 where the cluster does not answer; a server in trouble is no error of status.

`

func status(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := newFlags("status", statusUsage, stderr)
	state := flags.String("state", ".run", "`FOLDER` of the system that runs on this machine")
	platform := flags.String("platform", "", "platform `FILE` of a system in a cluster")
	asJSON := flags.Bool("json", false, "print JSON, for programs")
	if code, goOn := parseOnly(flags, args); !goOn {
		return code
	}
	var err error
	switch {
	case *platform != "":
		err = statusOfCluster(ctx, *platform, *asJSON, stdout)
	case *asJSON:
		err = localstack.StatusJSON(ctx, *state, stdout)
	default:
		err = localstack.Status(ctx, *state, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "mcpgateway status:", err)
		return exitProblems
	}
	return exitOK
}

func statusOfCluster(ctx context.Context, platform string, asJSON bool, stdout io.Writer) error {
	cluster, err := operate.Open(platform)
	if err != nil {
		return err
	}
	servers, err := cluster.Status(ctx)
	if err != nil {
		return err
	}
	if !asJSON {
		return operate.WriteTable(stdout, servers, time.Now())
	}
	text := json.NewEncoder(stdout)
	text.SetIndent("", "  ")
	return text.Encode(servers)
}
