package peer

import (
	"net/http"
	"runtime"
	"testing"
	"time"
	"weak"
)

// While a stream says nothing, its body holds neither the request nor the answer's headers.
func TestBodyHoldsNoRequest(t *testing.T) {
	c, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	request := request(t, t.Context(), "{}")
	resp, err := c.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	sent, body := weak.Make(request), resp.Body
	defer body.Close()
	for limit := time.Now().Add(10 * time.Second); sent.Value() != nil; runtime.GC() {
		if time.Now().After(limit) {
			t.Fatal("the body holds the request")
		}
	}
}
