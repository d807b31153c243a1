package catalog

import "strings"

// fact is what the checks say of one field. Tests collect facts and make the JSON Schema of them, so that it says what the
// checks do.
type fact struct {
	required              bool
	notEmpty              bool     // a list
	values                []string // that it may have, the default first
	least, standard, most any      // of a number; standard is what stands for an absent one
	bytes                 int      // at most
	form                  *pattern // of a text
	oneOf                 []string // of a mapping: the fields of which exactly one is given
}

// fact returns the facts of a field, to add to.
func (d *document) fact(field any) *fact {
	if d.facts == nil {
		return &fact{} // nobody collects them
	}
	if d.facts[field] == nil {
		d.facts[field] = &fact{}
	}
	return d.facts[field]
}

// matches reports whether a text has the form.
func (d *document) matches(field *string, form *pattern) bool {
	d.fact(field).form = form
	return form.MatchString(*field)
}

// alternative is one of several fields, and whether it is given.
type alternative struct {
	field string
	given bool
}

// one refuses all but exactly one of the fields of in. The text takes their names.
func (d *document) one(at, in any, text string, of ...alternative) {
	names, given := make([]string, len(of)), 0
	for i, a := range of {
		if names[i] = a.field; a.given {
			given++
		}
	}
	d.fact(in).oneOf = names
	if last := len(names) - 1; given != 1 {
		d.bad(at, text, strings.Join(names[:last], ", ")+" and "+names[last])
	}
}

// listOr is where a problem with a list stands: at the list where it is given, else at what it is in.
func listOr[T any](d *document, field *[]T, in any) any {
	if d.has(field) {
		return field
	}
	return in
}

// needed adds a problem where a list has no items: the text says what to write.
func needed[T any](d *document, field *[]T, at any, text string) {
	f := d.fact(field)
	f.required, f.notEmpty = true, true
	if len(*field) == 0 {
		d.bad(at, "%s", text)
	}
}
