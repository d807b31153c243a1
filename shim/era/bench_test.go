package era

import (
	"context"
	"net/http"
	"testing"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
)

// BenchmarkSameEra is what standing between costs an exchange whose server speaks its era.
func BenchmarkSameEra(b *testing.B) {
	translator, _ := fuzzed(b)
	translator.note(speaksModern | speaksLegacy)
	x := modernExchange(b, "alice", modernBody("1", "tools/call", `"name":"x"`, ""))
	resp := whole(http.StatusOK, nil)
	send := func(context.Context, *call.Exchange) (*http.Response, error) { return resp, nil }
	for _, era := range []mcp.Era{mcp.Legacy, mcp.Modern} {
		b.Run(era.String(), func(b *testing.B) {
			x.Era = era
			b.ReportAllocs()
			for b.Loop() {
				if got, err := translator.Exchange(b.Context(), x, send); got != resp || err != nil {
					b.Fatal(got, err)
				}
			}
		})
	}
}
