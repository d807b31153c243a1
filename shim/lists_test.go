package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestListsAreFiltered(t *testing.T) {
	const list = `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"get_a"},{"name":"merge"},{"name":"create"}],"cacheScope":"public"}}`
	const note = `{"jsonrpc":"2.0","method":"notifications/message","params":{}}`
	sse := func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: "+note+"\n\nid: 1\ndata: "+list+"\n\n")
	}
	for name, server := range map[string]http.HandlerFunc{"JSON": answerJSON(list), "SSE": sse} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, server)
			for token, tools := range map[string]string{
				r.engineer(t): `[{"name":"get_a"},{"name":"create"}]`,
				r.seller(t):   `[{"name":"get_a"}]`,
			} {
				want := `{"jsonrpc":"2.0","id":1,"result":{"tools":` + tools + `,"cacheScope":"private"}}`
				if name == "SSE" {
					want = "data: " + note + "\n\nid: 1\ndata: " + want + "\n\n"
				}
				// GET too: a resumed stream delivers what a POST asked for.
				for _, method := range []string{"POST", "GET"} {
					_, body := r.do(t, r.request(t, method, token, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
					if body != want {
						t.Errorf("%s: got  %s\nwant %s", method, body, want)
					}
				}
			}
		})
	}
}

// However a server ends its lines and its stream: some clients read an event that was never ended.
func TestListsAreFilteredInAnyStream(t *testing.T) {
	const list = `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"get_a"},{"name":"merge"}]}}`
	for _, stream := range []string{
		"id: 1\rdata: " + list + "\r\r", "\xef\xbb\xbfdata: " + list + "\n\n", ": c\r\n\r\ndata:" + list + "\r\n\r\n",
		"data: " + list + "\n", "data: " + list, "data: " + list + "\r",
	} {
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, stream)
		})
		resp, body := r.post(t, r.seller(t), `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
		if resp.StatusCode != 200 || strings.Contains(body, "merge") {
			t.Errorf("%q: got %d %q", stream, resp.StatusCode, body)
		}
	}
}

func TestListsAreFilteredWithAnyStatus(t *testing.T) {
	for _, status := range []int{201, 203, 206} {
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"get_a"},{"name":"merge"}]}}`)
		})
		if resp, body := r.post(t, r.seller(t), `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`); resp.StatusCode != status || strings.Contains(body, "merge") {
			t.Errorf("got %d %s", resp.StatusCode, body)
		}
	}
}

func TestListThatCannotBeDecidedOn(t *testing.T) {
	r := newRig(t, answerJSON(`{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"get_a","name":"merge"}]}}`))
	if resp, body := r.post(t, r.seller(t), `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`); resp.StatusCode != 502 || strings.Contains(body, "merge") {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
}
