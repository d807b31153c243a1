package identity

import (
	"errors"
	"net/url"
	"slices"
	"strings"
)

var errBroker = errors.New("the token is of somebody for whom its issuer may not speak, or its subject is malformed")

// QualifiedSubject is the sub claim of a broker's token for somebody who signed in at another issuer: subjects of two
// issuers stay two. An issuer's URL has no fragment (RFC 8414 section 2), so the first "#" ends it, and the whole is a
// URI, as RFC 7519 section 2 asks of texts with a colon.
func QualifiedSubject(issuer, subject string) string { return issuer + "#" + url.PathEscape(subject) }

// maxQualified is the longest qualified subject: each byte may be escaped.
const maxQualified = maxURL + 1 + 3*maxSubject

// whose returns the issuer and the subject whom a sub claim names. One that is not qualified is a subject of the issuer's
// own, as every sub of an issuer that is no broker is.
func (i Issuer) whose(sub string) (issuer, subject string, err error) {
	home, escaped, qualified := strings.Cut(sub, "#")
	if len(i.Brokers) == 0 || !qualified {
		if len(sub) > maxSubject {
			return "", "", errTextTooLong
		}
		return i.URL, sub, nil
	}
	subject, err = url.PathUnescape(escaped)
	if err != nil || subject == "" || QualifiedSubject(home, subject) != sub || !slices.Contains(i.Brokers, home) {
		return "", "", errBroker // also a second spelling of a subject
	}
	if len(subject) > maxSubject {
		return "", "", errTextTooLong
	}
	return home, subject, checkText(subject, maxSubject)
}

// checkBrokers refuses issuers that speak for somebody else than another issuer that is configured.
func checkBrokers(all []Issuer) error {
	for _, i := range all {
		for _, home := range i.Brokers {
			if !slices.ContainsFunc(all, func(o Issuer) bool { return o.URL == home && o.URL != i.URL && len(o.Brokers) == 0 }) {
				return errors.New("identity: brokers: each must be the url of another issuer, which is no broker itself")
			}
		}
	}
	return nil
}
