package provider

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGroups(t *testing.T) {
	many := `["x"` + strings.Repeat(`,"x"`, maxGroups) + `]`
	p := New(Config{GroupsClaim: "groups"})
	for body, want := range map[string][]string{
		`{}`:                                      nil,
		`{"groups":null}`:                         nil,
		`{"groups":[]}`:                           nil,
		`{"groups":[""]}`:                         nil,
		`{"groups":"staff"}`:                      {"staff"},
		`{"groups":["b","a","b",""]}`:             {"a", "b"},
		`{"groups":["a"],"hasgroups":true}`:       {"a"},
		`{"hasgroups":false}`:                     nil,
		`{"hasgroups":null}`:                      nil,
		`{"_claim_names":{"roles":"src1"}}`:       nil,
		`{"roles":["admins"],"Groups":["other"]}`: nil,
	} {
		if got, err := p.groups(parsed(t, body)); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: %q, %v", body, got, err)
		}
	}
	for _, body := range []string{
		`{"hasgroups":true}`, `{"_claim_names":{"groups":"src1"}}`, `{"_claim_names":{"groups":"src1"},"groups":["a"]}`, `{"_claim_names":7}`,
		`{"groups":7}`, `{"groups":{"a":1}}`, `{"groups":true}`, `{"groups":["a",7]}`, `{"groups":["a",["b"]]}`, `{"groups":["a\nb"]}`,
		`{"groups":["a\ud800"]}`, `{"groups":["` + strings.Repeat("x", maxGroup+1) + `"]}`, `{"groups":` + many + `}`,
	} {
		if got, err := p.groups(parsed(t, body)); !errors.Is(err, ErrGroups) {
			t.Errorf("%.100s: %q, %v", body, got, err)
		}
	}
}

func parsed(t *testing.T, body string) (claims map[string]json.RawMessage) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}
