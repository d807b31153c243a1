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
	named  map[string]*index // rules that name a server literally, by its id
	wild   index             // rules that name servers by a pattern
	scopes map[string]bool   // that any policy asks for
}

// Compile prepares policies for deciding. Names in them are resolved against issuers, and their conditions made, here and
// never again. The error says which policy is wrong, and why.
func Compile(policies []Policy, issuers []identity.Issuer, conditions Conditions) (*Set, error) {
	return compile(policies, issuers, func(p *Policy) (Condition, error) {
		if conditions == nil {
			return nil, errors.New("conditions cannot be decided here")
		}
		return conditions(p)
	})
}

// Admission is compiled policies that answer only whether someone could be allowed anything. It leaves conditions alone,
// so that whoever faces the internet needs nothing that decides them.
type Admission struct{ set *Set }

// CompileAdmission prepares policies for admission. Their conditions are not looked at.
func CompileAdmission(policies []Policy, issuers []identity.Issuer) (*Admission, error) {
	s, err := compile(policies, issuers, func(*Policy) (Condition, error) { return nil, nil })
	return &Admission{s}, err
}

// Admits is Set.Admits.
func (a *Admission) Admits(who identity.Identity, server string) bool {
	return a.set.Admits(who, server)
}

func compile(policies []Policy, issuers []identity.Issuer, conditions Conditions) (*Set, error) {
	s := &Set{named: map[string]*index{}, scopes: map[string]bool{}}
	for i := range policies {
		p := &policies[i]
		r, err := compileRule(p, i, issuers)
		if err == nil && p.When != "" {
			if r.when, err = conditions(p); err != nil {
				err = fmt.Errorf("when: %w", err)
			}
		}
		if err == nil {
			err = s.add(r, p.Servers)
		}
		if err != nil {
			return nil, fmt.Errorf("policy %.60q: %w", p.Name, err)
		}
		for _, scope := range p.Scopes {
			s.scopes[scope] = true
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
// server entirely. It is what must hold before a server is woken. Conditions and scopes are left aside: they are decided
// on messages.
func (s *Set) Admits(who identity.Identity, server string) bool {
	return s.ask(&question{who: &who, server: server, class: classPass, admission: true}).Allow
}

// Decide says whether who may send a message, and which policy says so.
func (s *Set) Decide(who identity.Identity, req Request) Decision {
	q := &question{who: &who, server: req.Server, method: req.Method, era: req.Era, arguments: req.Arguments, class: classPass}
	if req.Response {
		q.method = ""
		return s.ask(q)
	}
	if req.Method == "" {
		return Decision{}
	}
	m := methods[req.Method]
	switch m.class {
	case classNamed:
		q.of(m.kind, req.Name)
	case classRef:
		if req.Kind != KindPrompt && req.Kind != KindResource {
			return Decision{}
		}
		q.of(req.Kind, req.Name)
	case classListen:
		return s.decideListen(q, req.More)
	default:
		q.class = m.class
	}
	return s.ask(q)
}

// decideListen allows only what is allowed for every single resource.
func (s *Set) decideListen(q *question, uris []string) Decision {
	if len(uris) > MaxURIs {
		return Decision{}
	}
	d := s.ask(q)
	q.facts = nil
	for _, uri := range uris {
		if !d.Allow {
			break
		}
		q.of(KindResource, uri)
		d = s.ask(q)
	}
	return d
}

func (s *Set) ask(q *question) Decision {
	var few [64]*rule // on the stack
	q.set = s
	return q.decide(s.rules(few[:0], q.who, q.server))
}

// rules adds those that are for who on server.
func (s *Set) rules(to []*rule, who *identity.Identity, server string) []*rule {
	if ix := s.named[server]; ix != nil {
		to = ix.find(to, who, server)
	}
	return s.wild.find(to, who, server)
}
