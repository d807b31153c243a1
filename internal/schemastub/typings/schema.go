// Package typings reads what a Terraform provider's resources look like from the typings that CDK for Terraform generated of
// them. They hold names, types, and what is required or computed; they do not hold enumerations, ranges and rules across
// fields, which live in the provider itself.
//
// It asks no registry and runs nothing: a package of npm must have been unpacked.
package typings

// Schema is what a provider offers, by Terraform's names. Only what was asked for is in it.
type Schema struct {
	Provider  *Block            `json:"provider"`
	Resources map[string]*Block `json:"resources"`
	Data      map[string]*Block `json:"data"`
}

// Block is a body: of a resource, or of a block in one.
type Block struct {
	Attributes map[string]*Attribute `json:"attributes,omitempty"`
	Blocks     map[string]*Nested    `json:"blocks,omitempty"`
}

// Attribute is one argument or result. It has a type, or is made of other attributes.
type Attribute struct {
	Type     Type    `json:"type,omitempty"`
	Of       *Nested `json:"of,omitempty"`
	Required bool    `json:"required,omitempty"`
	Optional bool    `json:"optional,omitempty"`
	Computed bool    `json:"computed,omitempty"`
}

// Type is a type without fields: "string", "list(string)" and such.
type Type string

// Nested is a body within a body.
type Nested struct {
	Nesting Nesting `json:"nesting"`
	Min     int     `json:"min,omitempty"`
	Max     int     `json:"max,omitempty"` // 0: any number
	Block   Block   `json:"block"`
}

// Nesting says how often a body is there.
type Nesting string

// The nestings.
const (
	Single Nesting = "single"
	List   Nesting = "list"
	Set    Nesting = "set"
	Map    Nesting = "map"
)

// Add puts what an overlay says over a schema: attributes and blocks that are newer than it.
func (s *Schema) Add(overlay Schema) {
	add(s.Resources, overlay.Resources)
	add(s.Data, overlay.Data)
}

func add(to, from map[string]*Block) {
	for name, block := range from {
		if to[name] == nil {
			to[name] = block
			continue
		}
		to[name].add(block)
	}
}

func (b *Block) add(from *Block) {
	for name, a := range from.Attributes {
		if b.Attributes == nil {
			b.Attributes = map[string]*Attribute{}
		}
		b.Attributes[name] = a
	}
	for name, nested := range from.Blocks {
		delete(b.Attributes, name) // what the typings could not say more of than "any"
		if old := b.Blocks[name]; old != nil {
			old.Block.add(&nested.Block)
			continue
		}
		if b.Blocks == nil {
			b.Blocks = map[string]*Nested{}
		}
		b.Blocks[name] = nested
	}
}
