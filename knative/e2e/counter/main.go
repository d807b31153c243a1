// Command counter is an MCP server whose one tool echoes, and tells somebody of each call before it answers. It is for tests,
// which find out by it whether a call was run twice, or not at all.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"mcpgateway/internal/mcptest"
	"net/http"
	"strings"
)

func main() {
	serve := flag.String("serve", "", "address to be an MCP server at")
	tell := flag.String("tell", "", "URL that is sent the message of each call")
	flag.Parse()
	log.Fatal(http.ListenAndServe(*serve, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what is broken off is no call
		if mcptest.Discovered(w, body) {
			return
		}
		var call struct {
			ID     json.RawMessage
			Params struct {
				Arguments struct{ Message string }
			}
		}
		if err := json.Unmarshal(body, &call); err != nil || call.ID == nil {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		message := call.Params.Arguments.Message
		told, err := http.Post(*tell, "text/plain", strings.NewReader(message))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = told.Body.Close()
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","content":[{"type":"text","text":%q}]}}`, call.ID, message)
	})))
}
