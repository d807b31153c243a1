package issuer

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Whatever comes off the wire, a token is given only to a program on this machine that asks by the grant, for a user who
// exists and the resource that it names.
func FuzzToken(f *testing.F) {
	i, err := NewInsecureIssuer(Config{URL: "http://127.0.0.1:8081", KeyFile: filepath.Join(f.TempDir(), "key"), Users: DefaultUsers()})
	if err != nil {
		f.Fatal(err)
	}
	user := i.Users()[0].Name
	form := "grant_type=" + url.QueryEscape(GrantType) + "&user=" + user + "&resource=" + url.QueryEscape(resource)
	head := "POST " + tokenPath + " HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	f.Add([]byte(head+"Accept: text/plain\r\n\r\n"+form), "127.0.0.1:5")
	f.Add([]byte(head+"Origin: null\r\n\r\n"+form), "[::1]:5")
	f.Add([]byte(head+"Sec-Fetch-Site: none\r\n\r\n"+form), "192.0.2.1:5")
	f.Add([]byte("POST "+tokenPath+"?"+form+" HTTP/1.1\r\nHost: a\r\n\r\n"), "127.0.0.1:5")
	f.Fuzz(func(t *testing.T, wire []byte, from string) {
		head, body, _ := bytes.Cut(wire, []byte("\r\n\r\n"))
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(head) + "\r\n\r\n")))
		if err != nil {
			return
		}
		r.RemoteAddr, r.Body = from, io.NopCloser(bytes.NewReader(body))
		w := httptest.NewRecorder()
		i.ServeHTTP(w, r)
		if w.Code != http.StatusOK || r.URL.Path != tokenPath {
			return
		}
		token := strings.TrimSpace(w.Body.String())
		var answer struct {
			Token string `json:"access_token"`
		}
		if json.Unmarshal(w.Body.Bytes(), &answer) == nil {
			token = answer.Token
		}
		asked, _ := url.ParseQuery(string(body))
		if r.Method != http.MethodPost || len(r.Header["Origin"])+len(r.Header["Sec-Fetch-Site"]) > 0 && r.Header.Get("Origin")+r.Header.Get("Sec-Fetch-Site") != "" ||
			!strings.HasPrefix(from, "127.") && !strings.HasPrefix(from, "[::1]:") && !strings.HasPrefix(from, "[::ffff:127.") && !strings.HasPrefix(from, "[::ffff:7f") {
			t.Fatalf("%q from %q got a token", wire, from)
		}
		parts := strings.Split(token, ".")
		claims, err := base64.RawURLEncoding.DecodeString(parts[min(1, len(parts)-1)])
		var c struct{ Sub, Aud string }
		if err != nil || json.Unmarshal(claims, &c) != nil || c.Sub != asked.Get("user") || c.Aud != asked.Get("resource") ||
			asked.Get("grant_type") != GrantType || !slices.ContainsFunc(i.Users(), func(u User) bool { return u.Name == c.Sub }) {
			t.Fatalf("%q got the token %s", wire, claims)
		}
	})
}
