package catalog

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxItems bounds every list: two bytes of YAML can be an item that takes most of a kilobyte once decoded.
const maxItems = 10_000

// decoder copies a node tree into a value by its yaml tags. The library's own decoder is not strict enough here: it
// cuts 1.5 to 1, takes numbers for text and null for anything, compares every key with every other, and repeats parts
// of the input in its errors. This one also keeps the line of each value.
type decoder struct {
	*document
	path    []string
	unbuilt []unbuilt // what these name is no unknown field, even where the value has no place for it
}

// nodeDecoder is a value whose YAML form is not its Go form.
type nodeDecoder interface {
	decodeNode(d *decoder, n *yaml.Node)
}

// decode copies the document into the value that to points to.
func (d *document) decode(to any, unbuilt []unbuilt) {
	if d.root != nil {
		dec := decoder{document: d, unbuilt: unbuilt}
		dec.value(d.root, d.root.Line, reflect.ValueOf(to).Elem())
	}
}

func (d *decoder) value(n *yaml.Node, line int, to reflect.Value) {
	d.lines[to.Addr().Interface()] = line
	if n.Kind == yaml.AliasNode {
		return // refused already
	}
	if n.Tag == "!!null" {
		d.wrong(to, line, "is empty: write a value or leave it out")
		return
	}
	switch target := to.Addr().Interface().(type) {
	case nodeDecoder:
		target.decodeNode(d, n)
		return
	case encoding.TextUnmarshaler:
		if n.Kind != yaml.ScalarNode {
			d.wrong(to, line, "must be text")
		} else if err := target.UnmarshalText([]byte(n.Value)); err != nil {
			d.wrong(to, line, err.Error())
		}
		return
	}
	switch to.Kind() {
	case reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		d.value(n, line, to.Elem())
	case reflect.Struct:
		d.mapping(n, line, to)
	case reflect.Slice:
		d.list(n, line, to)
	default:
		d.scalar(n, line, to)
	}
}

func (d *decoder) mapping(n *yaml.Node, line int, to reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.wrong(to, line, "must be a mapping (field: value)")
		return
	}
	fields := fieldsOf(to.Type())
	given := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		field, known := fields[key.Value]
		first, twice := given[key.Value]
		given[key.Value] = key.Line
		d.path = append(d.path, key.Value)
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag != "!!str":
			d.add(key.Line, "field names are text")
		case known && twice:
			d.add(key.Line, "%s is given twice, first in line %d", d.name(), first)
		case known:
			d.value(value, key.Line, to.Field(field))
		case !d.isUnbuilt():
			d.unknown(key, to.Type())
		}
		d.path = d.path[:len(d.path)-1]
	}
}

// unknown does not repeat a field's name where it may be a secret that somebody wrote in place of its name.
func (d *decoder) unknown(key *yaml.Node, in reflect.Type) {
	if in == reflect.TypeFor[SecretKey]() {
		d.add(key.Line, "unknown field in a secret: it takes the secret's key, never its value")
		return
	}
	d.add(key.Line, "unknown field %.60q", d.name())
}

func (d *decoder) isUnbuilt() bool {
	return slices.ContainsFunc(d.unbuilt, func(u unbuilt) bool { return u.field == strings.Join(d.path, ".") })
}

// fieldsOf returns the index of each field by its name in YAML.
func fieldsOf(t reflect.Type) map[string]int {
	fields := map[string]int{}
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name != "" && name != "-" {
			fields[name] = i
		}
	}
	return fields
}

func (d *decoder) list(n *yaml.Node, line int, to reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.wrong(to, line, "must be a list")
		return
	}
	if len(n.Content) > maxItems {
		d.wrong(to, line, fmt.Sprintf("holds more than %d items", maxItems))
		return
	}
	// Made at once and never grown: lines are kept by the addresses of the elements.
	to.Set(reflect.MakeSlice(to.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.value(item, item.Line, to.Index(i))
	}
}

func (d *decoder) scalar(n *yaml.Node, line int, to reflect.Value) {
	switch to.Kind() {
	case reflect.String:
		if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
			d.wrong(to, line, "must be text: write it in quotes")
			return
		}
		to.SetString(n.Value)
	case reflect.Int:
		number, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil {
			d.wrong(to, line, "must be a whole number")
			return
		}
		to.SetInt(int64(number))
	case reflect.Bool:
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
			d.wrong(to, line, "must be true or false")
			return
		}
		to.SetBool(strings.EqualFold(n.Value, "true"))
	default:
		panic("catalog: no YAML form for " + to.Type().String()) // a field of a new kind in one of our own types
	}
}

// wrong adds a problem with the value at the current path. It never repeats the value, which may be a secret.
func (d *decoder) wrong(to reflect.Value, line int, text string) {
	d.broken[to.Addr().Interface()] = true
	d.add(line, "%s %s", d.name(), text)
}

// name is the current path as problems give it: an entry's fields without the word servers before each.
func (d *decoder) name() string {
	if len(d.path) == 0 {
		return "the document"
	}
	return strings.TrimPrefix(strings.Join(d.path, "."), "servers.")
}
