package localstack

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/policy"
	"mcpgateway/localstack/issuer"
)

// tokenTTL is how long the printed tokens are valid: a working day.
const tokenTTL = 8 * time.Hour

// explain prints where the servers are and lines to paste. All of it must work as it stands.
func (s *stack) explain() error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "\nThe gateway is up at %s. Ctrl-C stops everything.\n", s.platform.PublicURL)
	if s.issuer == nil {
		s.listServers(&b)
		fmt.Fprintf(&b, "\nTokens come from the issuers that %s names.\n\n", s.Platform)
		_, err := s.Out.Write(b.Bytes())
		return err
	}
	people, err := s.people()
	if err != nil {
		return err
	}
	s.listAccess(&b, people)
	if s.oauth {
		fmt.Fprintf(&b, "\nA URL is all that an MCP client needs: it opens a page of %s, and one where you choose who to be.\n", s.platform.OAuth.URL)
	}
	if err := s.giveTokens(&b, people); err != nil {
		return err
	}
	if s.audit {
		if err := s.showRecords(&b, people); err != nil {
			return err
		}
	}
	_, err = s.Out.Write(b.Bytes())
	return err
}

// person is a user of the development issuer, with the ids of the servers that the policies admit them to.
type person struct {
	issuer.User
	servers []string
}

// people are the users, those who may use most first: their lines are the ones to paste.
func (s *stack) people() ([]person, error) {
	set, err := policy.CompileAdmission(s.catalog.Policies, s.platform.Issuers)
	if err != nil {
		return nil, err
	}
	var people []person
	for _, u := range s.issuer.Users() {
		p := person{User: u}
		who := identity.Identity{Issuer: s.issuer.URL(), Subject: u.Name, Groups: u.Groups}
		for _, server := range s.catalog.Servers {
			if set.Admits(who, server.ID) {
				p.servers = append(p.servers, server.ID)
			}
		}
		people = append(people, p)
	}
	slices.SortStableFunc(people, func(a, b person) int { return cmp.Compare(len(b.servers), len(a.servers)) })
	return people, nil
}

func (s *stack) listServers(b *bytes.Buffer) {
	fmt.Fprint(b, "\nServers\n")
	for _, server := range s.catalog.Servers {
		fmt.Fprintf(b, "  %s\n", s.platform.Resource(server.ID))
	}
}

func (s *stack) listAccess(b *bytes.Buffer, people []person) {
	table := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	fmt.Fprint(table, "\nServers")
	for _, p := range people {
		fmt.Fprintf(table, "\t%s", strings.Join(append([]string{p.Name}, p.Groups...), ", "))
	}
	for _, server := range s.catalog.Servers {
		fmt.Fprintf(table, "\n  %s", s.platform.Resource(server.ID))
		for _, p := range people {
			fmt.Fprintf(table, "\t%s", map[bool]string{true: "yes", false: "-"}[slices.Contains(p.servers, server.ID)])
		}
	}
	fmt.Fprintln(table)
	table.Flush()
	if s.hint != "" {
		fmt.Fprintf(b, "  %s\n", s.hint)
	}
}

// giveTokens prints a token for each who may use anything, and how to use the first.
func (s *stack) giveTokens(b *bytes.Buffer, people []person) error {
	people = slices.DeleteFunc(people, func(p person) bool { return p.servers == nil })
	if len(people) == 0 {
		fmt.Fprint(b, "\nThe policies admit none of the development issuer's users to any server.\n\n")
		return nil
	}
	fmt.Fprintf(b, "\nTokens, valid for %g hours, each for one server\n", tokenTTL.Hours())
	var first string
	for _, p := range people {
		token, err := s.issuer.Token(p.Name, s.platform.Resource(p.servers[0]), tokenTTL)
		if err != nil {
			return err
		}
		// No comment on the line: zsh takes it for arguments.
		fmt.Fprintf(b, "%s, for %s\n  export %s=%s\n", p.Name, p.servers[0], variable(p), token)
		first = cmp.Or(first, token)
	}
	p := people[0]
	last := s.platform.Resource(p.servers[len(p.servers)-1])
	fmt.Fprintf(b, "another one\n  curl -sS -H 'Accept: text/plain' -d grant_type=%s -d user=%s -d resource=%s %s\n",
		issuer.GrantType, p.Name, last, s.issuer.TokenURL())
	s.showClients(b, p, first)
	return nil
}

// showRecords prints how an auditor finds what was recorded.
func (s *stack) showRecords(b *bytes.Buffer, people []person) error {
	set, err := policy.CompileAdmission([]policy.Policy{{Name: "auditors", Allow: &policy.Subjects{Groups: s.platform.Audit.Store.Auditors},
		Servers: []string{"audit"}, Tools: []string{"*"}}}, s.platform.Issuers)
	if err != nil {
		return err
	}
	for _, p := range people {
		if set.Admits(identity.Identity{Issuer: s.issuer.URL(), Subject: p.Name, Groups: p.Groups}, "audit") {
			fmt.Fprintf(b, "\nRecords of calls, for %s\n  curl -sS -H \"Authorization: Bearer $(curl -sS -H 'Accept: text/plain' -d grant_type=%s -d user=%[1]s -d resource=%[3]s %[4]s)\" 'http://%[5]s/audit?limit=10'\n",
				p.Name, issuer.GrantType, s.platform.PublicURL, s.issuer.TokenURL(), local(s.AuditPort))
			return nil
		}
	}
	fmt.Fprintf(b, "\nRecords of calls are at http://%s/audit, for none of these people.\n", local(s.AuditPort))
	return nil
}

// variable is the shell variable with a person's token.
func variable(p person) string { return strings.ToUpper(p.Name) }
