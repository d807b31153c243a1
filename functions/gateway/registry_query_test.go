package main

import (
	"cmp"
	"encoding/base64"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/catalog"
)

// Whatever is asked, it is what a plain reading of the arguments says or an error, and what a cursor holds is a place
// and nothing else.
func FuzzRegistryQuery(f *testing.F) {
	for _, seed := range []string{"", "limit=10&cursor=" + registryCursor("github"), "search=a&search=b", "version=latest&updated_since=2025-08-07T13:15:04.280Z", "limit=500",
		"cursor=MTphLWI", "cursor=M%0DTph", "cursor=M\rTph", "limit=-1", "limit=%31%30", "cursor=MTo", "a;b", "cursor=MTphLWJ", "search=&search=b", "search=%c3%84"} {
		f.Add(seed, "/com.example%2Fa/versions/latest")
	}
	f.Fuzz(func(t *testing.T, raw, path string) {
		got, err := parseRegistryQuery(raw)
		want, ok := plainQuery(raw)
		if ok && got.since.Equal(want.since) {
			got.since = want.since // its zone may be another pointer
		}
		if ok != (err == nil) || ok && got != want {
			t.Errorf("%q: %+v, %v, want %+v, %v", raw, got, err, want, ok)
		}
		name, version, list, ok := parseRegistryPath(path)
		parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
		if !ok {
			return
		}
		for i := range parts {
			if parts[i], err = url.PathUnescape(parts[i]); err != nil {
				t.Fatalf("%q: %v", path, err)
			}
		}
		if name != parts[0] || name == "" || version == "" || len(parts) > 3 || len(parts) > 1 && parts[1] != "versions" || len(parts) == 3 && version != parts[2] {
			t.Errorf("%q: %q, %q", path, name, version)
		}
		if list != (len(parts) == 2) || len(parts) < 3 && version != "latest" {
			t.Errorf("%q: %q, list %v", path, version, list)
		}
	})
}

// plainQuery is the reference for parseRegistryQuery, argument by argument.
func plainQuery(raw string) (registryQuery, bool) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return registryQuery{}, false
	}
	for _, name := range []string{"cursor", "limit", "search", "version", "updated_since"} {
		if len(values[name]) > 1 || len(values.Get(name)) > 256 {
			return registryQuery{}, false
		}
	}
	q := registryQuery{limit: 30, search: strings.ToLower(values.Get("search")), version: cmp.Or(values.Get("version"), "latest")}
	if text := values.Get("limit"); text != "" {
		n, ok := new(big.Int).SetString(text, 10)
		if !ok || n.Sign() <= 0 || !n.IsInt64() {
			return q, false
		}
		q.limit = int(min(100, n.Int64()))
	}
	if text := values.Get("updated_since"); text != "" {
		if q.since, err = time.Parse(time.RFC3339, text); err != nil {
			return q, false
		}
	}
	if text := values.Get("cursor"); text != "" {
		decoded, _ := base64.RawURLEncoding.DecodeString(text)
		q.after, _ = strings.CutPrefix(string(decoded), "1:")
		if !catalog.ValidID(q.after) || registryCursor(q.after) != text {
			return q, false
		}
	}
	return q, true
}
