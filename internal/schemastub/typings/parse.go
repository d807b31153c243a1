package typings

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	classHead = regexp.MustCompile(`(?m)^export class (\w+) extends cdktf\.(\w+) \{$`)
	typeName  = regexp.MustCompile(`tfResourceType = "(\w+)"`)
	// Each field's comment, with the lines that say how it is kept and got.
	field  = regexp.MustCompile(`// (\w+) - computed: (true|false), optional: (true|false), required: (true|false)\n((?:[^\n]*\n){1,3})`)
	nested = regexp.MustCompile(`= new ([\w.]+)\(this, "\w+"(?:, (true|false))?\)`)
	getter = regexp.MustCompile(`return (.*)\n`)
	// "timeouts block" is written above what is a block in Terraform's language; other bodies are arguments.
	blockWord = regexp.MustCompile(`\* (\w+) block\n`)
	structure = regexp.MustCompile(`(\w+): \{\n\s+value: [^\n]*\n\s+isBlock: true,\n\s+type: "struct"`)
)

// module is one generated file.
type module struct {
	text    string
	classes map[string]string // bodies by name
}

// parse reads the resource or data source called name.
func parse(text, name string) (*Block, error) {
	m := module{text: text, classes: map[string]string{}}
	main := ""
	heads := classHead.FindAllStringSubmatchIndex(text, -1)
	for i, h := range heads {
		end := len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		class, body := text[h[2]:h[3]], text[h[1]:end]
		m.classes[class] = body
		if found := typeName.FindStringSubmatch(body); found != nil && found[1] == name {
			main = class
		}
	}
	if main == "" {
		return nil, fmt.Errorf("no class has this type")
	}
	return m.block(m.classes[main], main+"Config", m.classes[main])
}

// block reads a class. The interface of the same body tells blocks from arguments, and hcl has how often each is there.
func (m module) block(class, iface, hcl string) (*Block, error) {
	b := &Block{Attributes: map[string]*Attribute{}, Blocks: map[string]*Nested{}}
	blocks, single := words(blockWord, m.after("export interface "+iface+" ")), words(structure, hcl)
	for _, f := range field.FindAllStringSubmatch(class, -1) {
		name, lines := f[1], f[5]
		a := &Attribute{Computed: f[2] == "true", Optional: f[3] == "true", Required: f[4] == "true"}
		made := nested.FindStringSubmatch(lines)
		if made == nil || strings.HasPrefix(made[1], "cdktf.") {
			t, err := typeOf(lines)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			a.Type = t
			b.Attributes[name] = a
			continue
		}
		of, err := m.nested(made[1], made[2] == "true", single[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if !blocks[name] {
			a.Of = of
			b.Attributes[name] = a
			continue
		}
		if a.Required {
			of.Min = 1
		}
		b.Blocks[name] = of
	}
	return b, nil
}

// nested reads the class of a body within a body.
func (m module) nested(class string, set, single bool) (*Nested, error) {
	n := &Nested{Nesting: List}
	name, isList := strings.CutSuffix(class, "List")
	switch {
	case isList && set:
		n.Nesting = Set
	case isList:
	case strings.HasSuffix(class, "Map"):
		name, n.Nesting = strings.TrimSuffix(class, "Map"), Map
	case single:
		name, n.Nesting = strings.TrimSuffix(class, "OutputReference"), Single
	default:
		name, n.Max = strings.TrimSuffix(class, "OutputReference"), 1
	}
	body, ok := m.classes[name+"OutputReference"]
	if !ok {
		return nil, fmt.Errorf("no class %sOutputReference", name)
	}
	b, err := m.block(body, name, m.after("export function "+strings.ToLower(name[:1])+name[1:]+"ToHclTerraform("))
	if err != nil {
		return nil, err
	}
	n.Block = *b
	return n, nil
}

// after is the text from a declaration to the closing brace at the beginning of a line.
func (m module) after(declaration string) string {
	_, rest, ok := strings.Cut(m.text, declaration)
	if !ok {
		return ""
	}
	body, _, _ := strings.Cut(rest, "\n}")
	return body
}

func words(pattern *regexp.Regexp, text string) map[string]bool {
	found := map[string]bool{}
	for _, w := range pattern.FindAllStringSubmatch(text, -1) {
		found[w[1]] = true
	}
	return found
}

// plain are the getters of generated classes. A set is a list in TypeScript, of which Terraform makes a set first.
var plain = []struct {
	getter string
	of     Type
}{
	{"getStringMapAttribute", "map(string)"}, {"getNumberMapAttribute", "map(number)"}, {"getBooleanMapAttribute", "map(bool)"},
	{"getAnyMapAttribute", "map(dynamic)"}, {"getNumberListAttribute", "list(number)"}, {"getListAttribute", "list(string)"},
	{"getStringAttribute", "string"}, {"getNumberAttribute", "number"}, {"getBooleanAttribute", "bool"},
	{"interpolationForAttribute", "dynamic"}, {"cdktf.StringMap(", "map(string)"}, {"cdktf.NumberMap(", "map(number)"},
	{"cdktf.BooleanMap(", "map(bool)"}, {"cdktf.AnyMap(", "map(dynamic)"}, {"cdktf.StringListMap(", "map(list(string))"}, {"cdktf.StringMapList(", "list(map(string))"},
}

// typeOf reads a type from how an attribute is got.
func typeOf(lines string) (Type, error) {
	how := lines
	if r := getter.FindStringSubmatch(lines); r != nil && !nested.MatchString(lines) {
		how = r[1]
	}
	for _, p := range plain {
		if strings.Contains(how, p.getter) {
			if strings.Contains(how, "Fn.tolist") {
				return Type(strings.Replace(string(p.of), "list(", "set(", 1)), nil
			}
			return p.of, nil
		}
	}
	return "", fmt.Errorf("its type is not understood: %.100q", lines)
}
