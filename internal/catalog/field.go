package catalog

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The functions here give absent fields their defaults and check what was given; name is the field's for the operator.

// number bounds a number; an absent one becomes standard.
func number[T cmp.Ordered](d *document, field *T, name string, least, standard, most T) {
	f := d.fact(field)
	f.least, f.standard, f.most = least, standard, most
	if !d.has(field) {
		*field = standard
	} else if *field < least || *field > most {
		d.bad(field, "%s must be between %v and %v", name, least, most)
	}
}

// choice holds a text to the listed values; an absent one becomes the first.
func (d *document) choice(field *string, name string, values ...string) {
	d.fact(field).values = values
	if !d.has(field) {
		*field = values[0]
	} else if !slices.Contains(values, *field) {
		d.bad(field, "%s must be %s", name, strings.Join(values, ", "))
	}
}

// text bounds a text that is shown or handed on: at most that many bytes, no control characters but line breaks.
func (d *document) text(field *string, name string, most int) {
	d.fact(field).bytes = most
	if len(*field) > most {
		d.bad(field, "%s is longer than %d bytes", name, most)
	}
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' || r == utf8.RuneError }
	if strings.ContainsFunc(*field, control) {
		d.bad(field, "%s holds control characters", name)
	}
}

// required reports whether a field was given and is not empty, and otherwise adds a problem, at the value it is in.
func (d *document) required(field *string, in any, name string) bool {
	if *field != "" {
		return true
	}
	if d.has(field) {
		in = field
	}
	d.fact(field).required = true
	d.bad(in, "%s is missing", name)
	return false
}

// label requires a DNS label (RFC 1123): ids and names become parts of host names, Kubernetes names and file names.
func (d *document) label(field *string, in any, name string) bool {
	if !d.required(field, in, name) {
		return false
	}
	d.fact(field).form = idForm
	if !ValidID(*field) {
		d.bad(field, "%s %.60q is no DNS label: 1 to 63 of a-z, 0-9 and -, not at either end", name, *field)
		return false
	}
	return true
}

// notEmpty refuses a list that is given and has no items. Left out and empty read alike to the rest of the program,
// and not at all alike to who wrote it.
func notEmpty[T any](d *document, field *[]T, name string) {
	d.fact(field).notEmpty = true
	if d.has(field) && *field != nil && len(*field) == 0 {
		d.bad(field, "%s is an empty list: leave it out, or write what belongs in it", name)
	}
}

// idForm is ValidID as a pattern.
var idForm = newPattern(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// ValidID reports whether id can be a server's: a DNS label (RFC 1123).
func ValidID(id string) bool {
	if id == "" || len(id) > 63 || id[0] == '-' || id[len(id)-1] == '-' {
		return false
	}
	for i := range len(id) {
		if c := id[i]; c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
