package measure

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Main runs a benchmark that prints to standard output, and that a signal ends. It leaves with status 2 when the benchmark
// fails, and with 1 when a threshold is missed and enforce says that this matters.
func Main(enforce bool, run func(context.Context, *Printer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	p := Printer{Out: os.Stdout}
	err := run(ctx, &p)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if p.Missed > 0 && enforce {
		os.Exit(1)
	}
}
