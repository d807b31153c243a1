package mcp

import (
	"encoding/json"
	"testing"
)

// What is taken for a yes, any other reader takes for one.
func FuzzElicitation(f *testing.F) {
	for _, seed := range []string{`{"elicitation":{"url":{}}}`, `{"elicitation":{"url":null}}`, `{"elicitation":{"url":[]},"elicitation":{"url":{}}}`, `{"elicitation":{"URL":{}}}`,
		`{"params":{"inputResponses":{"mcpgateway_connect":{"action":"accept"}}}}`, `{"params":{"inputResponses":{"mcpgateway_connect":{"action":"decline"}}}}`, `{"params":[]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if ElicitsURL(Token(text)) {
			var c struct {
				Elicitation struct{ URL map[string]any }
			}
			if err := json.Unmarshal([]byte(text), &c); err != nil || c.Elicitation.URL == nil {
				t.Errorf("%q says that the client leads people to pages: %v", text, err)
			}
		}
		if Agreed(Token(text)) {
			var m struct {
				Params struct {
					InputResponses map[string]struct{ Action string }
				}
			}
			if err := json.Unmarshal([]byte(text), &m); err != nil || m.Params.InputResponses[elicitationKey].Action != "accept" {
				t.Errorf("%q says that the person goes to the page: %v", text, err)
			}
		}
	})
}
