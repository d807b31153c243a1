package catalog

import (
	"strings"
	"testing"
)

func TestDiscoveryCached(t *testing.T) {
	const (
		line   = "\ndiscovery: cached"
		server = "runtime: {command: {exec: x, http: {}}}"
		remote = `runtime: {remote: {url: "https://x.test"}}`
	)
	kept := &Platform{Issuers: testPlatform.Issuers, Audit: &AuditSink{Store: &AuditStore{}}}
	for name, tt := range map[string]struct {
		platform *Platform
		fields   string
		want     []string
	}{
		"good":                        {kept, server + line, nil},
		"without sessions":            {kept, server + line + "\nsessions: none", nil},
		"a header for all":            {kept, server + line + "\nheaders: [{name: X-A, secret: {key: a}}]", nil},
		"a filter of calls":           {kept, server + line + "\nfilters: [calls, named]", nil},
		"nowhere to keep it":          {testPlatform, server + line, []string{"5: discovery: cached needs audit.store"}},
		"an instance per user":        {kept, server + line + "\ninstances: {per: user}", []string{"5: discovery: cached is for an instance that all share"}},
		"a token":                     {kept, server + line + "\ntoken: {insecureForward: true}", []string{"5: discovery: cached is not for a server that is sent something of its caller"}},
		"a claim":                     {kept, server + line + "\nheaders: [{name: X-A, claim: a}]", []string{"5: discovery: cached is not for a server that is sent something of its caller"}},
		"strict sessions":             {kept, server + line + "\nsessions: strict", []string{"5: discovery: cached needs sessions: survive or none"}},
		"records that are waited for": {kept, server + line + "\naudit: {required: true}", []string{"5: discovery: cached is not for audit.required"}},
		"records of bodies":           {kept, server + line + "\naudit: {bodies: full}", []string{"5: discovery: cached is not for audit.required and audit.bodies: full"}},
		"filters of lists":            {kept, server + line + "\nfilters: [calls, all, lists, hello]", []string{`6: filters: "all" is to see initialize`, `6: filters: "lists" is to see tools/list`, `6: filters: "hello" is to see server/discover`}},
		"filters of lists, live":      {kept, server + "\nfilters: [all, lists]", nil},
	} {
		t.Run(name, func(t *testing.T) {
			text := "apiVersion: v1\nservers:\n  - id: a\n    " + strings.ReplaceAll(tt.fields, "\n", "\n    ") + "\nfilters:\n"
			for filter, on := range map[string]string{"calls": "tools/call", "named": "tools/*?name=x", "all": "*", "lists": "tools/list&direction=response", "hello": "server/*&direction=request"} {
				text += "  - {name: " + filter + `, mcp: {url: "https://x.test", tool: t}, on: ["` + on + "\"]}\n"
			}
			_, problems := parseCatalog([]*document{newDocument("c", []byte(text))}, tt.platform, checkTestCondition, nil)
			checkLines(t, lines(problems), tt.want...)
		})
	}
}

func TestRevision(t *testing.T) {
	base := Server{ID: "a", Title: "A", Runtime: Runtime{NPX: &Package{Package: "x@1.0.0"}}, Sessions: "survive"}
	for name, c := range map[string]struct {
		change func(*Server)
		same   bool
	}{
		"nothing":     {func(*Server) {}, true},
		"a title":     {func(s *Server) { s.Title = "B" }, true},
		"a filter":    {func(s *Server) { s.Filters = []string{"f"} }, true},
		"idle time":   {func(s *Server) { s.Scale.Idle = 1 }, true},
		"the id":      {func(s *Server) { s.ID = "b" }, false},
		"the package": {func(s *Server) { s.Runtime = Runtime{NPX: &Package{Package: "x@1.0.1"}} }, false},
		"an argument": {func(s *Server) { s.Runtime = Runtime{NPX: &Package{Package: "x@1.0.0", Args: []string{"-v"}}} }, false},
		"a variable":  {func(s *Server) { s.Env = []EnvVar{{Name: "A", Value: "b"}} }, false},
		"sessions":    {func(s *Server) { s.Sessions = "none" }, false},
	} {
		s := base
		c.change(&s)
		if same := s.Revision() == base.Revision(); same != c.same {
			t.Errorf("%s: the same is %v", name, same)
		}
	}
}
