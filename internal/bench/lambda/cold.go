package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"mcpgateway/internal/measure"
	"mcpgateway/localstack/lambda"
)

// maxCold is how much longer the gateway's init and first call may take than a hello world's and a call of a gateway that
// runs: a function that checks tokens and knows a catalog is not nothing, and must not be felt.
const maxCold = 2.5

// cold starts both functions anew again and again, and calls the plain gateway beside them. The first round only warms up.
func (r *rig) cold(ctx context.Context, p *measure.Printer, pairs int) error {
	var hello, plain, both, ours []measure.Slice
	for round := range pairs + 1 {
		var took [3]time.Duration
		for _, i := range rand.Perm(len(took)) {
			var err error
			switch i {
			case 0:
				took[i], err = anew(r.hello, func() error { return r.sayHello(ctx) })
			case 1:
				took[i], err = timed(func() error { return r.echo.plain.Call(ctx) })
			default:
				took[i], err = anew(r.gateway, func() error { return r.echo.function.Call(ctx) })
			}
			if err != nil {
				return fmt.Errorf("start %d: %w", round, err)
			}
		}
		if round > 0 {
			hello, plain = append(hello, one(took[0])), append(plain, one(took[1]))
			both, ours = append(both, one(took[0]+took[1])), append(ours, one(took[2]))
		}
	}
	median := measure.Percentile(0.5)
	p.Pair("hello+call", "ours", "ratio")
	p.Ratio(measure.Figure{Name: "init and first call, p50, ms", Of: median, Limit: maxCold}, both, ours)
	p.Ratio(measure.Figure{Name: "init and first call, p90, ms", Of: measure.Percentile(0.9)}, both, ours)
	p.Note("%d of each; hello world's init and call take %.2f ms, a call of a gateway that runs %.2f ms", pairs, median(hello), median(plain))
	return nil
}

func one(d time.Duration) measure.Slice {
	return measure.Slice{Latencies: []time.Duration{d}, Calls: 1}
}

// anew times a call that a function has to be started for.
func anew(f *lambda.Front, call func() error) (time.Duration, error) {
	f.Reclaim()
	return timed(call)
}

func timed(call func() error) (time.Duration, error) {
	began := time.Now()
	err := call()
	return time.Since(began), err
}

// sayHello calls hello world.
func (r *rig) sayHello(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.helloURL, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && string(text) != `"hello"` {
		err = fmt.Errorf("hello world says %s: %.100s", response.Status, text)
	}
	return err
}
