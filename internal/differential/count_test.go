package differential

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"mcpgateway/internal/mcp"
)

// accepted and refused count inputs, to show that the targets do not only meet refusals.
var accepted, refused int

func count(ok bool) {
	if ok {
		accepted++
	} else {
		refused++
	}
}

// TestMain notes the counts where fuzzreport asks for it: what a fuzzer's worker prints is lost.
func TestMain(m *testing.M) {
	code := m.Run()
	if path := os.Getenv("FUZZ_NOTES"); path != "" && accepted+refused > 0 {
		note, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = fmt.Fprintf(note, "%d of %d inputs taken (%d%%)\n", accepted, accepted+refused, 100*accepted/(accepted+refused))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

// Edits leave enough of the messages whole for the fuzzer to compare something.
func TestEditsAreTaken(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	taken, tries := 0, 0
	for seed := range requests {
		for range 200 {
			edits := make([]byte, 3*(1+random.IntN(3)))
			for i := range edits {
				edits[i] = byte(random.Uint32())
			}
			tries++
			if _, err := mcp.Parse(message(requests, byte(seed), []byte("x"), edits)); err == nil {
				taken++
			}
		}
	}
	t.Logf("%d of %d taken", taken, tries)
	if taken < tries/4 || taken > tries*3/4 {
		t.Errorf("%d of %d edited messages are taken: the fuzzer needs a good share of both", taken, tries)
	}
}
