package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
	"mcpgateway/internal/store"
)

// Whatever comes as a record: it is refused with a status that tells a shim what to do, or it is among its server's, within
// bounds, and a store takes it.
func FuzzRecord(f *testing.F) {
	f.Add(name(1), "1795870800", `"1"`, "", "sealed")
	f.Add(name(1), "1795870800", "", "*", "sealed")
	f.Add("../"+name(1), "-1", `"01"`, "", "")
	f.Add(strings.Repeat("A", 43), "1798502400", `W/"1"`, "*", strings.Repeat("x", maxValue+1))
	f.Add("", "1795870800", `"9223372036854775808"`, "", "x")
	f.Add(strings.Repeat("A", 44), "1795870800", "", "*", "x")
	f.Fuzz(func(t *testing.T, name, expires, match, none, body string) {
		r := httptest.NewRequest(http.MethodPut, path+"x?"+url.Values{"expires": {expires}}.Encode(), strings.NewReader(body))
		for field, v := range map[string]string{"If-Match": match, "If-None-Match": none} {
			if v != "" {
				r.Header[field] = []string{v}
			}
		}
		key, err := readKey("notes", name)
		item := store.Item{}
		if err == nil {
			item, err = readRecord(r, key, noon)
		}
		if err != nil {
			if status := mcp.AsError(err).Status; status != http.StatusUnprocessableEntity && status != http.StatusRequestEntityTooLarge {
				t.Errorf("%d: %v", status, err)
			}
			return
		}
		if item.Part != "notes" || item.Sort != name || len(name) != 43 || len(item.Value) > maxValue || string(item.Value) != body || store.Check(item) != nil {
			t.Errorf("%+v", item)
		}
		if left := item.Expires.Sub(noon); left <= 0 || left > longest+time.Second {
			t.Errorf("it expires in %v", left)
		}
		if item.Version == 0 != (none == "*") || item.Version != 0 && entityTag(item.Version) != match {
			t.Errorf("version %d of %q, %q", item.Version, match, none)
		}
	})
}
