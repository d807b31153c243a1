package localstack

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mcpgateway/localstack/lambda"
)

// Lambda says that the gateway runs as a function behind one of AWS's fronts. The deployer stays a process beside it: what
// it starts would be frozen with it.
type Lambda struct {
	Events            lambda.EventKind
	RemapAuthenticate bool // clients do not see WWW-Authenticate under its name
	LagOneChunk       bool // a chunk leaves with the next one only
	Concurrency       int  // calls and streams at a time; Lambda's own limit where 0
}

// startFront starts the front in the place of the gateway, and the gateway once: where it cannot begin, its lines say why.
// What it returns ends the front, and prints what AWS would have billed.
func (s *stack) startFront(ctx context.Context) (end func(), err error) {
	front, err := lambda.Start(context.WithoutCancel(ctx), lambda.Config{
		Function: lambda.Function{
			Name: "gateway", Program: s.program("gateway"), Env: map[string]string{"PLATFORM": s.Platform},
			Memory: 512, Timeout: 15 * time.Minute, Concurrency: s.Lambda.Concurrency, Log: s.log.writer("gateway"),
		},
		Address: local(s.Port), Events: s.Lambda.Events,
		RemapAuthenticate: s.Lambda.RemapAuthenticate, LagOneChunk: s.Lambda.LagOneChunk,
	})
	if err != nil {
		return nil, err
	}
	s.status(ctx, s.Port, "/readyz")
	if front.Bill()["gateway"].Failed > 0 {
		front.Close()
		return nil, errors.New("the gateway's function failed; its lines above say why")
	}
	return func() {
		front.Close()
		fmt.Fprintln(s.Out, "The gateway would have cost:", front.Bill()["gateway"]) //nolint:errcheck // nobody reads it
	}, nil
}
