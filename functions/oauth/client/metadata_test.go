package client

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseMetadata(t *testing.T) {
	const redirects = `"redirect_uris":["http://127.0.0.1/cb"]`
	padded := func(size int) string {
		text := `{` + redirects + `,"x":""}`
		return strings.Replace(text, `""}`, `"`+strings.Repeat("x", size-len(text))+`"}`, 1)
	}
	many := func(n int) string {
		return `{"redirect_uris":[` + strings.TrimSuffix(strings.Repeat(`"http://127.0.0.1/cb",`, n), ",") + `]}`
	}
	for name, tc := range map[string]struct {
		text string
		want error
	}{
		"least":              {`{` + redirects + `}`, nil},
		"largest":            {padded(MaxMetadata), nil},
		"larger":             {padded(MaxMetadata + 1), ErrMetadata},
		"no UTF-8":           {"{" + redirects + ",\"x\":\"\xff\"}", ErrMetadata},
		"a name twice":       {`{` + redirects + `,"client_name":"a","client_name":"b"}`, ErrMetadata},
		"another case":       {`{"Redirect_URIs":["http://127.0.0.1/cb"]}`, ErrRedirect},
		"more behind it":     {`{` + redirects + `}{}`, ErrMetadata},
		"a list":             {`[]`, ErrMetadata},
		"a number for a URI": {`{"redirect_uris":[7]}`, ErrMetadata},
		"most redirects":     {many(maxRedirects), nil},
		"more redirects":     {many(maxRedirects + 1), ErrRedirect},
		"bad redirect":       {`{"redirect_uris":["http://127.0.0.1/cb","javascript://x/%0aalert(1)"]}`, ErrRedirect},
		"longest name":       {fmt.Sprintf(`{%s,"client_name":%q}`, redirects, strings.Repeat("n", maxName)), nil},
		"longer name":        {fmt.Sprintf(`{%s,"client_name":%q}`, redirects, strings.Repeat("n", maxName+1)), ErrMetadata},
		"another script":     {`{` + redirects + `,"client_name":"クライアント"}`, nil},
		"a line break":       {`{` + redirects + `,"client_name":"a\nb"}`, ErrMetadata},
		"a separator":        {`{` + redirects + `,"client_name":"a\u2028b"}`, ErrMetadata},
		"turned around":      {`{` + redirects + `,"client_name":"a\u202eb"}`, ErrMetadata},
		"no width":           {`{` + redirects + `,"client_name":"a\u200bb"}`, ErrMetadata},
		"private use":        {`{` + redirects + `,"client_name":"a\ue000b"}`, ErrMetadata},
		"no code":            {`{` + redirects + `,"grant_types":["refresh_token"]}`, ErrMetadata},
		"no code answered":   {`{` + redirects + `,"response_types":["token"]}`, ErrMetadata},
		"more than code":     {`{` + redirects + `,"grant_types":["implicit","authorization_code"],"response_types":["token","code"]}`, nil},
	} {
		_, err := ParseMetadata([]byte(tc.text))
		if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysOfMetadata(t *testing.T) {
	keys := keySet(t, 1, false)
	for name, tc := range map[string]struct {
		more string
		good bool
	}{
		"keys":               {`"token_endpoint_auth_method":"private_key_jwt","jwks":` + keys, true},
		"keys elsewhere":     {`"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://a.example/keys?of=x"`, true},
		"in the clear":       {`"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"http://a.example/keys"`, false},
		"at this machine":    {`"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"http://127.0.0.1/keys"`, false},
		"at another port":    {`"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://a.example:8443/keys"`, false},
		"by a user":          {`"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://u@a.example/keys"`, false},
		"of dots":            {`"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://a.example/x/../keys"`, false},
		"here and elsewhere": {`"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://a.example/keys","jwks":` + keys, false},
		"none":               {`"token_endpoint_auth_method":"private_key_jwt"`, false},
		"private":            {`"token_endpoint_auth_method":"private_key_jwt","jwks":` + keySet(t, 1, true), false},
		"not needed":         {`"token_endpoint_auth_method":"none","jwks":` + keySet(t, 1, true), true},
	} {
		m, err := ParseMetadata([]byte(`{"redirect_uris":["cursor://x/cb"],` + tc.more + `}`))
		if err == nil {
			_, err = parseKeys(m)
		}
		if (err == nil) != tc.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}
