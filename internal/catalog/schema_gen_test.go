package catalog

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The JSON Schemas are made here: the shape comes from the Go types, bounds and choices from the checks themselves, which
// are run on values that hold every field, and descriptions from the comments.

// generator makes the schema of one document.
type generator struct {
	facts   map[string]*fact // by path, as unbuilt has them
	unbuilt []unbuilt
	docs    map[string]string // of "Type" and "Type.Field"
}

type schema = map[string]any

// catalogSchema and platformSchema leave out what the table says is not built.
func catalogSchema(t testing.TB, table []unbuilt) []byte {
	g := newGenerator(t, table)
	for _, fill := range fillings {
		var c Catalog
		d := g.filled(reflect.ValueOf(&c).Elem(), fill)
		names := newNames(testPlatform)
		checkCatalog(d, &c, names)
		g.learn(d, reflect.ValueOf(&c).Elem(), "")
	}
	return g.document(t, reflect.TypeFor[Catalog](), "The catalog of an MCP gateway")
}

func platformSchema(t testing.TB, table []unbuilt) []byte {
	g := newGenerator(t, table)
	for _, fill := range fillings {
		var p Platform
		d := g.filled(reflect.ValueOf(&p).Elem(), fill)
		checkPlatform(d, &p, "/")
		g.learn(d, reflect.ValueOf(&p).Elem(), "")
	}
	return g.document(t, reflect.TypeFor[Platform](), "The platform file of an MCP gateway")
}

func newGenerator(t testing.TB, table []unbuilt) *generator {
	t.Helper()
	g := &generator{facts: map[string]*fact{}, unbuilt: table, docs: map[string]string{}}
	for _, file := range []string{"catalog.go", "platform.go", "knative.go", "instances.go", "oauth.go", "../policy/policy.go", "../identity/identity.go"} {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		g.readDocs(parsed)
	}
	return g
}

func (g *generator) readDocs(file *ast.File) {
	for _, decl := range file.Decls {
		general, ok := decl.(*ast.GenDecl)
		if !ok || general.Tok != token.TYPE {
			continue
		}
		spec := general.Specs[0].(*ast.TypeSpec)
		g.docs[spec.Name.Name] = oneLine(general.Doc)
		fields, ok := spec.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, f := range fields.Fields.List {
			comment := f.Doc
			if comment == nil {
				comment = f.Comment
			}
			for _, name := range f.Names {
				g.docs[spec.Name.Name+"."+name.Name] = oneLine(comment)
			}
		}
	}
}

func oneLine(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

// filling says what a document is filled with, since one check hides behind another: whether texts and numbers are given,
// and whether lists have an item.
type filling struct{ scalars, lists bool }

var fillings = []filling{{true, true}, {false, true}, {false, false}}

// filled sets every field and returns the document that collects what the checks say of them.
func (g *generator) filled(v reflect.Value, fill filling) *document {
	d := &document{file: "/x", lines: map[any]int{}, broken: map[any]bool{}, facts: map[any]*fact{}}
	fillValue(d, v, fill)
	return d
}

func fillValue(d *document, v reflect.Value, fill filling) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillValue(d, v.Elem(), fill)
	case reflect.Struct:
		for i := range v.NumField() {
			fillValue(d, v.Field(i), fill)
		}
		return // a mapping is given where one of its fields is
	case reflect.Slice:
		if !fill.lists {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillValue(d, v.Index(0), fill)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		if fill.scalars {
			v.SetString("x")
		}
	}
	if fill.scalars {
		d.lines[v.Addr().Interface()] = 1
	}
}

// learn keeps the facts of one run by their paths.
func (g *generator) learn(d *document, v reflect.Value, path string) {
	if f := d.facts[v.Addr().Interface()]; f != nil {
		known := g.facts[path]
		if known == nil {
			g.facts[path] = f
		} else {
			known.add(f)
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			g.learn(d, v.Elem(), path)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			g.learn(d, v.Field(i), join(path, fieldName(v.Type(), i)))
		}
	case reflect.Slice:
		if v.Len() > 0 {
			g.learn(d, v.Index(0), path+"[]")
		}
	}
}

// add takes over what another run found.
func (f *fact) add(more *fact) {
	f.required, f.notEmpty, f.bytes = f.required || more.required, f.notEmpty || more.notEmpty, max(f.bytes, more.bytes)
	if f.values == nil {
		f.values = more.values
	}
	if f.most == nil {
		f.least, f.standard, f.most = more.least, more.standard, more.most
	}
	if f.form == nil {
		f.form = more.form
	}
	if f.oneOf == nil {
		f.oneOf = more.oneOf
	}
}

// fieldName is a field's name in YAML; Instances has its own form there.
func fieldName(t reflect.Type, i int) string {
	if name := t.Field(i).Tag.Get("yaml"); name != "" && name != "-" {
		return name
	}
	name := t.Field(i).Name
	return strings.ToLower(name[:1]) + name[1:]
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (g *generator) document(t testing.TB, of reflect.Type, title string) []byte {
	t.Helper()
	s := g.of(of, "")
	s["$schema"], s["title"] = "https://json-schema.org/draft/2020-12/schema", title
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// of is the schema of a type at a path.
func (g *generator) of(t reflect.Type, path string) schema {
	f := g.facts[path]
	if f == nil {
		f = &fact{}
	}
	switch {
	case t == reflect.TypeFor[Duration]():
		return duration(f)
	case t == reflect.TypeFor[Instances]():
		return schema{"description": g.docs["Instances"], "oneOf": []any{schema{"const": "shared"}, g.instances(path)}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.of(t.Elem(), path)
	case reflect.Struct:
		return g.object(t, path, f)
	case reflect.Slice:
		s := schema{"type": "array", "items": g.of(t.Elem(), path+"[]"), "maxItems": maxItems}
		if f.notEmpty {
			s["minItems"] = 1
		}
		return s
	case reflect.Int:
		return g.number(f, path)
	case reflect.Bool:
		return g.choice(schema{"type": "boolean"}, []any{true, false}, path)
	case reflect.String:
		return g.text(f, path)
	}
	panic("no schema for " + t.String())
}

func (g *generator) object(t reflect.Type, path string, f *fact) schema {
	properties := schema{}
	required := []string{}
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("yaml")
		if name == "" || name == "-" {
			continue
		}
		at := join(path, name)
		if g.isUnbuilt(at) {
			continue
		}
		p := g.of(t.Field(i).Type, at)
		if doc := g.docs[t.Name()+"."+t.Field(i).Name]; doc != "" {
			p["description"] = strings.TrimSpace(doc + sentence(p["description"], doc))
		}
		properties[name] = p
		if known := g.facts[at]; known != nil && known.required {
			required = append(required, name)
		}
	}
	s := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if doc := g.docs[t.Name()]; doc != "" {
		s["description"] = doc
	}
	required = append(required, g.lacking(path, properties)...)
	if len(required) > 0 {
		s["required"] = required
	}
	if one := g.oneOf(f, properties); one != nil {
		s["oneOf"] = one
	}
	return s
}

// sentence keeps what a schema of its own says besides the field's comment.
func sentence(description any, doc string) string {
	text, _ := description.(string)
	if text == "" || strings.HasPrefix(doc, text) {
		return ""
	}
	return ". " + text
}

func (g *generator) oneOf(f *fact, properties schema) []any {
	var one []any
	for _, name := range f.oneOf {
		p, built := properties[name].(schema)
		if !built {
			continue
		}
		alternative := schema{"required": []string{name}}
		switch p["type"] { // false and "" are as if they were not given
		case "boolean":
			alternative["properties"] = schema{name: schema{"const": true}}
		case "string":
			if name != "value" { // of a variable, which may be empty
				alternative["properties"] = schema{name: schema{"minLength": 1}}
			}
		}
		one = append(one, alternative)
	}
	return one
}

// plain is a path as the tables of what is not built have it: lists are passed through.
func plain(path string) string { return strings.ReplaceAll(path, "[]", "") }

func (g *generator) isUnbuilt(path string) bool {
	return slices.ContainsFunc(g.unbuilt, func(u unbuilt) bool { return u.field == plain(path) && u.when == nil })
}

// refused reports whether a value is not built, whatever stands beside it.
func (g *generator) refused(path string, n *yaml.Node) bool {
	beside := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Value: "runtime"}, {Kind: yaml.MappingNode,
		Content: []*yaml.Node{{Value: "remote"}, {}}}}}
	return slices.ContainsFunc(g.unbuilt, func(u unbuilt) bool { return u.field == plain(path) && u.when != nil && u.when(n, beside) })
}

// lacking lists the fields without which a mapping is not built.
func (g *generator) lacking(path string, properties schema) (names []string) {
	for name := range properties {
		n := &yaml.Node{Kind: yaml.MappingNode}
		for other := range properties {
			if other != name {
				n.Content = append(n.Content, &yaml.Node{Value: other}, &yaml.Node{})
			}
		}
		if g.refused(path, n) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (g *generator) choice(s schema, values []any, path string) schema {
	built := slices.DeleteFunc(slices.Clone(values), func(v any) bool { return g.refused(path, &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(v)}) })
	if len(built) < len(values) || s["type"] != "boolean" {
		s["enum"] = built
	}
	return s
}

func (g *generator) number(f *fact, path string) schema {
	s := schema{"type": "integer"}
	if f.most == nil {
		return s
	}
	s["minimum"], s["maximum"] = f.least, f.most
	if f.standard.(int) >= f.least.(int) {
		s["default"] = f.standard
	}
	if g.refused(path, &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(f.most)}) { // only what stands for an absent one is built
		s["maximum"], s["minimum"] = f.standard, f.standard
	}
	return s
}

func (g *generator) text(f *fact, path string) schema {
	s := schema{"type": "string"}
	if f.values != nil {
		values := make([]any, len(f.values))
		for i, v := range f.values {
			values[i] = v
		}
		return g.choice(s, values, path)
	}
	if f.form != nil {
		s["pattern"] = f.form.String()
	}
	if f.required {
		s["minLength"] = 1
	}
	if f.bytes > 0 {
		s["maxLength"] = f.bytes // characters have at least a byte
	}
	return s
}

// durationForm is no stricter than ParseDuration.
const durationForm = `^([0-9]+d|[+-]?(0|([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*)$`

func duration(f *fact) schema {
	s := schema{"type": "string", "pattern": durationForm, "description": "30s, 5m, 2h or 30d"}
	if f.most != nil {
		s["description"] = fmt.Sprintf("%s, between %v and %v", s["description"], f.least, f.most)
		if f.standard.(Duration) >= f.least.(Duration) {
			s["default"] = fmt.Sprint(f.standard)
		}
	}
	return s
}

// instances is the mapping form, whose bounds are checked where its fields are copied to.
func (g *generator) instances(path string) schema {
	s := g.object(reflect.TypeFor[instancesForm](), path, &fact{})
	s["required"] = []string{"per"}
	s["properties"].(schema)["per"] = schema{"const": "user"}
	return s
}
