package identity

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

func TestClaim(t *testing.T) {
	for payload, want := range map[string]string{
		`{"c":"a"}`: "a", `{"c":"é"}`: "é", `{"c":12}`: "12", `{"c":-1}`: "-1", `{"c":false}`: "false", `{"c":""}`: "",
		`{"c":1.5}`: "!", `{"c":1e9}`: "!", `{"c":null}`: "!", `{"c":[]}`: "!", `{"c":{}}`: "!", `{}`: "!", `{"C":"a"}`: "!", `{"c":"a","c":"b"}`: "!",
		`{"c":"\n"}`: "!", `{"c":"` + strings.Repeat("x", maxURL+1) + `"}`: "!", `x`: "!", "{\"c\":\"\xff\"}": "!",
	} {
		got, err := Claim("e30."+base64.RawURLEncoding.EncodeToString([]byte(payload))+".sig", "c")
		if err != nil {
			got = "!"
		}
		if got != want {
			t.Errorf("%.50s: %q, %v", payload, got, err)
		}
	}
	for _, token := range []string{"", "a", "a.", "..", "a.!.b"} {
		if got, err := Claim(token, "c"); err == nil {
			t.Errorf("%q has %q", token, got)
		}
	}
}

// What a token says of how somebody signed in and who acts for them is part of who they are.
func TestACRAndActor(t *testing.T) {
	read := func(acr, act string) (Identity, error) {
		c, err := parseClaims([]byte(`{"sub":"a","aud":"r","exp":9999999999,"acr":` + acr + `,"act":` + act + `}`))
		if err != nil {
			t.Fatal(err)
		}
		return c.identity(Issuer{URL: "https://i.test", Audiences: []string{"r"}}, nil, time.Unix(1_800_000_000, 0))
	}
	if id, err := read(`"gold"`, `{"sub":"b"}`); err != nil || id.ACR != "gold" || id.Actor != `{"sub":"b"}` {
		t.Errorf("%+v, %v", id, err)
	}
	if id, err := read(`null`, `null`); err != nil || id.ACR != "" || id.Actor != "" {
		t.Errorf("%+v, %v", id, err)
	}
	for _, bad := range [][2]string{{`1`, `null`}, {`["a"]`, `null`}, {`null`, `"b"`}, {`null`, `[]`}, {`null`, `{"sub":"` + strings.Repeat("x", maxActor) + `"}`}} {
		if id, err := read(bad[0], bad[1]); err == nil {
			t.Errorf("%.40s: %+v", bad, id)
		}
	}
}
