package typings

import (
	"fmt"
	"regexp"
	"strings"
)

// A provider's own configuration has no classes for its bodies. The interfaces say enough: nothing in it is computed.
var (
	property   = regexp.MustCompile(`(?s)/\*\*(.*?)\*/\s+readonly \w+(\??): ([^;]*(?:\{[^}]*\})?[^;]*);`)
	anchor     = regexp.MustCompile(`docs#(\w+) `)
	configHead = regexp.MustCompile(`export interface (\w+ProviderConfig) `)
)

func parseProvider(text string) (*Block, error) {
	found := configHead.FindStringSubmatch(text)
	if found == nil {
		return nil, fmt.Errorf("its configuration is not there")
	}
	return module{text: text}.settings(found[1])
}

func (m module) settings(iface string) (*Block, error) {
	b := &Block{Attributes: map[string]*Attribute{}, Blocks: map[string]*Nested{}}
	for _, p := range property.FindAllStringSubmatch(m.after("export interface "+iface+" "), -1) {
		name := anchor.FindStringSubmatch(p[1])
		if name == nil || name[1] == "alias" {
			continue // Terraform's own
		}
		a := &Attribute{Required: p[2] == "", Optional: p[2] != ""}
		kind := strings.TrimSpace(strings.ReplaceAll(p[3], " | cdktf.IResolvable", ""))
		switch kind {
		case "string", "number":
			a.Type = Type(kind)
		case "boolean":
			a.Type = "bool"
		case "string[]":
			a.Type = "list(string)"
		default:
			if strings.HasPrefix(kind, "{") {
				a.Type = "map(string)"
				break
			}
			of, err := m.settings(strings.TrimSuffix(kind, "[]"))
			if err != nil {
				return nil, err
			}
			n := &Nested{Nesting: List, Block: *of}
			if blockWord.MatchString(p[1]) {
				b.Blocks[name[1]] = n
				continue
			}
			n.Nesting, a.Of = Single, n
		}
		b.Attributes[name[1]] = a
	}
	return b, nil
}
