package e2eaws

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
	"mcpgateway/internal/sealedtoken"
)

// cluster stands in for EKS with Knative: an API server that knows who may list PodAutoscalers, and an ingress with one server
// that runs behind a shim's stand-in.
type cluster struct {
	t         *testing.T
	api       *httptest.Server
	ingress   *httptest.Server
	authority string // PEM of both
	nameKey   string // what gateway and shims share
	calls     atomic.Int32
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t}
	c.api, c.ingress = httptest.NewTLSServer(http.HandlerFunc(c.list)), httptest.NewTLSServer(http.HandlerFunc(c.serve))
	t.Cleanup(c.api.Close)
	t.Cleanup(c.ingress.Close)
	c.authority = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.api.Certificate().Raw}))
	return c
}

// list is all that the gateway may ask the API server. It comes as its AWS identity.
func (c *cluster) list(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer k8s-aws-v1.") {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/namespaces/mcp-servers/podautoscalers") {
		w.WriteHeader(http.StatusForbidden) // the deployer is not tried here
		return
	}
	items := []any{}
	if strings.HasSuffix(r.URL.Query().Get("labelSelector"), "=mcp-notes") {
		items = append(items, map[string]any{"metadata": map[string]any{"name": "mcp-notes-00001"}, "spec": map[string]any{"reachability": "Reachable"},
			"status": map[string]any{"actualScale": 1, "desiredScale": 1}})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "PodAutoscalerList", "items": items})
}

// pause is between two events of a call.
const pause = 150 * time.Millisecond

// serve is the ingress, and the only server: it opens the caller's token as a shim does, and answers as an MCP server would.
func (c *cluster) serve(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.Host, "mcp-notes.mcp-servers.") {
		http.NotFound(w, r)
		return
	}
	if r.URL.Path == "/readyz" {
		w.Header()[mcp.HeaderShim] = []string{"notes"}
		return
	}
	sealer, err := sealedtoken.New(sealedtoken.Key([]byte(c.nameKey), "notes"))
	if err != nil {
		c.t.Error(err)
		return
	}
	token, proof, err := sealer.Open(r.Header.Get("Authorization"))
	if err != nil || !strings.HasPrefix(token, "Bearer ") {
		c.t.Errorf("the server was sent %q: %v", r.Header.Get("Authorization"), err)
	}
	w.Header()[mcp.HeaderShim] = []string{mcp.ShimMark("notes", proof)}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Error(err)
	}
	var call struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
	}
	if err := json.Unmarshal(body, &call); err != nil {
		c.t.Errorf("the server was sent %q: %v", body, err)
	}
	c.calls.Add(1)
	w.Header().Set("Content-Type", "text/event-stream")
	for n := range 3 {
		_, _ = io.WriteString(w, `data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":`+string(rune('1'+n))+"}}\n\n")
		w.(http.Flusher).Flush()
		time.Sleep(pause)
	}
	_, _ = io.WriteString(w, `data: {"jsonrpc":"2.0","id":`+string(call.ID)+`,"result":{"content":[{"type":"text","text":"`+call.Method+`"}]}}`+"\n\n")
}
