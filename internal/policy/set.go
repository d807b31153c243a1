package policy

import (
	"errors"
	"fmt"
	"strings"

	"mcpgateway/internal/identity"
)

// Set is a compiled list of policies. It never changes, so any number of goroutines may ask it; the zero Set refuses
// everything.
type Set struct {
	named map[string]*index // rules that name a server literally, by its id
	wild  index             // rules that name servers by a pattern
}

// Compile prepares policies for deciding. Names in them are resolved against issuers here and never again. The error
// says which policy is wrong, and why.
func Compile(policies []Policy, issuers []identity.Issuer) (*Set, error) {
	s := &Set{named: map[string]*index{}}
	for i, p := range policies {
		r, err := compileRule(p, i, issuers)
		if err == nil {
			err = s.add(r, p.Servers)
		}
		if err != nil {
			return nil, fmt.Errorf("policy %.60q: %w", p.Name, err)
		}
	}
	return s, nil
}

func (s *Set) add(r *rule, servers []string) error {
	if len(servers) == 0 {
		return errors.New("no servers")
	}
	var wild []glob
	literal := map[string]bool{}
	for _, id := range servers {
		g, err := parseGlob(id)
		if err != nil {
			return fmt.Errorf("servers: %w", err)
		}
		if strings.Contains(id, "*") {
			wild = append(wild, g)
		} else {
			literal[id] = true
		}
	}
	for id := range literal {
		if s.named[id] == nil {
			s.named[id] = &index{}
		}
		s.named[id].add(entry{rule: r})
	}
	if wild != nil {
		s.wild.add(entry{rule: r, servers: wild})
	}
	return nil
}

// Admits reports whether who could be allowed anything at server: some allow could match, and no deny shuts the
// server entirely. It is what must hold before a server is woken.
func (s *Set) Admits(who identity.Identity, server string) bool {
	return s.ask(&who, server, question{class: classPass}).Allow
}

// Visible reports whether an item of a filtered list is shown: whether who may use it. For a resource template, name
// is the text of its uriTemplate.
func (s *Set) Visible(who identity.Identity, server string, kind Kind, name string) bool {
	use, ok := uses[kind]
	return ok && s.ask(&who, server, question{class: classNamed, method: use, kind: kind, name: name}).Allow
}

// uses is the method by which a primitive is used.
var uses = map[Kind]string{KindTool: "tools/call", KindPrompt: "prompts/get", KindResource: "resources/read"}

// Decide says whether who may send a message, and which policy says so.
func (s *Set) Decide(who identity.Identity, req Request) Decision {
	if req.Response {
		return s.ask(&who, req.Server, question{class: classPass})
	}
	if req.Method == "" {
		return Decision{}
	}
	m := methods[req.Method]
	q := question{class: m.class, method: req.Method, kind: m.kind, name: req.Name}
	switch m.class {
	case classRef:
		if req.Kind != KindPrompt && req.Kind != KindResource {
			return Decision{}
		}
		q.class, q.kind = classNamed, req.Kind
	case classListen:
		return s.decideListen(&who, req)
	}
	return s.ask(&who, req.Server, q)
}

// decideListen allows only what is allowed for every single resource.
func (s *Set) decideListen(who *identity.Identity, req Request) Decision {
	if len(req.More) > MaxURIs {
		return Decision{}
	}
	d := s.ask(who, req.Server, question{class: classPass, method: req.Method})
	for _, uri := range req.More {
		if !d.Allow {
			break
		}
		d = s.ask(who, req.Server, question{class: classNamed, method: req.Method, kind: KindResource, name: uri})
	}
	return d
}

func (s *Set) ask(who *identity.Identity, server string, q question) Decision {
	var v verdict
	if ix := s.named[server]; ix != nil {
		ix.judge(who, server, q, &v)
	}
	s.wild.judge(who, server, q, &v)
	return v.decision()
}
