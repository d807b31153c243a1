package policy

import (
	"fmt"
	"strings"

	"mcpgateway/internal/identity"
)

// principal is a user or a group: names mean something only together with the issuer they belong to.
type principal struct {
	issuer string // URL, as in the iss claim
	name   string // sub claim, or a value of the groups claim
}

// CheckSubject says what is wrong with an entry of Subjects.Users or Subjects.Groups.
func CheckSubject(subject string, issuers []identity.Issuer) error {
	_, err := principalOf(subject, issuers)
	return err
}

// principalOf turns "name" and "issuer:name" into a principal once, at compile time. Comparing texts at request time
// would let a group that the default issuer calls "partner:x" pass for group x of the issuer partner. For the same
// reason an unknown prefix is an error and not part of a name: it may have been an issuer yesterday.
func principalOf(subject string, issuers []identity.Issuer) (principal, error) {
	prefix, name, qualified := strings.Cut(subject, ":")
	if !qualified {
		name = subject
	}
	if name == "" || qualified && prefix == "" {
		return principal{}, fmt.Errorf(`%.60q is no user or group: write "name" or "issuer:name"`, subject)
	}
	var urls []string
	for _, is := range issuers {
		if qualified && is.Name == prefix || !qualified && is.Default {
			urls = append(urls, is.URL)
		}
	}
	switch {
	case len(urls) == 1:
		return principal{issuer: urls[0], name: name}, nil
	case len(urls) > 1:
		return principal{}, fmt.Errorf("%.60q belongs to several issuers: names and the default must be unique", subject)
	case qualified:
		return principal{}, fmt.Errorf("%.60q: no issuer is called %.40q (a name that holds a colon is written with its own issuer's name in front)", subject, prefix)
	}
	return principal{}, fmt.Errorf("%.60q: no issuer is the default, so write issuer:name", subject)
}

func resolveAll(subjects []string, issuers []identity.Issuer) ([]principal, error) {
	principals := make([]principal, len(subjects))
	for i, s := range subjects {
		p, err := principalOf(s, issuers)
		if err != nil {
			return nil, err
		}
		principals[i] = p
	}
	return principals, nil
}
