// Command bench measures what gateway and shim cost in a cluster: the same calls go to a server of ours and to a bare
// Knative service, which is the same MCP server with one idle sidecar, behind the same ingress. Calls that wake them come
// in pairs, one after the other in alternating order, so that whatever else the machine does meets both alike.
//
// It needs the test cluster (knative/testcluster) with knative/config in it, whose node's logs say when what was started;
// "make bench-knative" brings both up. Its absolute figures are those of two busy cores; what is judged are differences.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"mcpgateway/internal/measure"
)

// settings are what the command line says.
type settings struct {
	kubeconfig, bin, logs, image, only string
	pairs, many, rounds                int
	warm                               time.Duration
	noToken                            bool
}

func main() {
	var s settings
	flag.StringVar(&s.kubeconfig, "kubeconfig", os.Getenv("TEST_KUBECONFIG"), "the test cluster's administrator")
	flag.StringVar(&s.logs, "logs", os.Getenv("TEST_LOGS"), "folder of the logs of kubelet and containerd")
	flag.StringVar(&s.image, "image", "knative/testcluster/image.sh", "program that puts images into the cluster")
	flag.StringVar(&s.bin, "bin", "bin", "folder of the built programs")
	flag.StringVar(&s.only, "only", "", "measure this part alone: cold, warm or many")
	flag.IntVar(&s.pairs, "pairs", 40, "how many times to wake both")
	flag.DurationVar(&s.warm, "warm", 30*time.Second, "how long to call each while it is awake")
	flag.IntVar(&s.many, "many", 25, "how many servers to wake at once")
	flag.IntVar(&s.rounds, "rounds", 3, "how often to wake them at once")
	flag.BoolVar(&s.noToken, "no-token", false, "take the service account's token from the bare service, whose pod then has no volume to wait for")
	flag.Parse()
	measure.Main(true, func(ctx context.Context, p *measure.Printer) error { return run(ctx, p, s) })
}

// run measures everything, or the part that was asked for, and prints as it goes.
func run(ctx context.Context, p *measure.Printer, s settings) (err error) {
	parts := []struct {
		name    string
		measure func(*rig) error
	}{
		{"cold", func(r *rig) error { return cold(ctx, p, r, s.pairs) }},
		{"warm", func(r *rig) error { return warm(ctx, p, r, s.warm) }},
		{"many", func(r *rig) error { return many(ctx, p, r, s.rounds) }},
	}
	if s.only != "" {
		all := parts
		parts = nil
		for _, part := range all {
			if part.name == s.only {
				parts = append(parts, part)
			}
		}
	}
	switch {
	case len(parts) == 0:
		return fmt.Errorf("-only %s: the parts are cold, warm and many", s.only)
	case s.kubeconfig == "" || s.logs == "":
		return fmt.Errorf("-kubeconfig and -logs are needed: make bench-knative brings a cluster up")
	}
	if s.bin, err = filepath.Abs(s.bin); err != nil {
		return err
	}
	r, err := start(ctx, s)
	defer func() { err = r.stop(err) }()
	if err != nil {
		return err
	}
	fmt.Fprintf(p.Out, "%s/%s, %d cores, %s, %s\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), r.version)
	fmt.Fprintln(p.Out, "bare: a Knative service with the sample server and one idle sidecar, called through the ingress")
	fmt.Fprintln(p.Out, "ours: the sample server as the deployer deploys it, called through gateway and the same ingress; token, policy and audit on")
	for _, part := range parts {
		if err := part.measure(r); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return ctx.Err()
}
