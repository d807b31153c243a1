package era

import (
	"encoding/json"

	"mcpgateway/internal/mcp"
)

// object is a JSON object whose members keep their order, and their values the bytes that they came in.
type object []member

type member struct {
	name  string
	value mcp.Token
}

// objectOf reads an object strictly; nil where the token is none.
func objectOf(t mcp.Token) object {
	if len(t) == 0 || t[0] != '{' {
		return nil
	}
	o := object{}
	if t.Members(func(name string, value mcp.Token) error {
		o = append(o, member{name, value})
		return nil
	}) != nil {
		return nil
	}
	return o
}

func (o object) get(name string) mcp.Token {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// with returns the object with a member set.
func (o object) with(name string, value mcp.Token) object {
	for i := range o {
		if o[i].name == name {
			o[i].value = value
			return o
		}
	}
	return append(o, member{name, value})
}

// or returns the object with a member that it lacks.
func (o object) or(name string, value mcp.Token) object {
	if o.get(name) != nil {
		return o
	}
	return append(o, member{name, value})
}

func (o object) without(names ...string) object {
	kept := make(object, 0, len(o))
members:
	for _, m := range o {
		for _, name := range names {
			if m.name == name {
				continue members
			}
		}
		kept = append(kept, m)
	}
	return kept
}

// token is the object as JSON.
func (o object) token() mcp.Token {
	out := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, text(m.name)...), ':'), m.value...)
	}
	return append(out, '}')
}

// text is a string as JSON.
func text(s string) mcp.Token {
	t, _ := json.Marshal(s) // a string can always be encoded
	return t
}

// path returns what is found in objects by names; nil where there is nothing.
func path(t mcp.Token, names ...string) mcp.Token {
	for _, name := range names {
		t = objectOf(t).get(name)
	}
	return t
}

// texts returns the items of an array of strings; nil where the token is none.
func texts(t mcp.Token) []string {
	if len(t) == 0 || t[0] != '[' {
		return nil
	}
	all := []string{}
	if t.Items(func(item mcp.Token) error {
		if s, ok := item.Text(); ok {
			all = append(all, s)
		}
		return nil
	}) != nil {
		return nil
	}
	return all
}
