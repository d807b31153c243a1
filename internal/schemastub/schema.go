package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"mcpgateway/internal/schemastub/typings"
)

// body is a block in the protocol's form.
func body(b *typings.Block) (*tfprotov6.SchemaBlock, error) {
	out := &tfprotov6.SchemaBlock{}
	for _, name := range slices.Sorted(maps.Keys(b.Attributes)) {
		a, err := attribute(name, b.Attributes[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out.Attributes = append(out.Attributes, a)
	}
	for _, name := range slices.Sorted(maps.Keys(b.Blocks)) {
		n := b.Blocks[name]
		inner, err := body(&n.Block)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out.BlockTypes = append(out.BlockTypes, &tfprotov6.SchemaNestedBlock{TypeName: name, Block: inner, Nesting: blockNesting[n.Nesting],
			MinItems: int64(n.Min), MaxItems: int64(n.Max)})
	}
	return out, nil
}

var blockNesting = map[typings.Nesting]tfprotov6.SchemaNestedBlockNestingMode{
	typings.Single: tfprotov6.SchemaNestedBlockNestingModeSingle, typings.List: tfprotov6.SchemaNestedBlockNestingModeList,
	typings.Set: tfprotov6.SchemaNestedBlockNestingModeSet, typings.Map: tfprotov6.SchemaNestedBlockNestingModeMap,
}

var objectNesting = map[typings.Nesting]tfprotov6.SchemaObjectNestingMode{
	typings.Single: tfprotov6.SchemaObjectNestingModeSingle, typings.List: tfprotov6.SchemaObjectNestingModeList,
	typings.Set: tfprotov6.SchemaObjectNestingModeSet, typings.Map: tfprotov6.SchemaObjectNestingModeMap,
}

func attribute(name string, a *typings.Attribute) (*tfprotov6.SchemaAttribute, error) {
	out := &tfprotov6.SchemaAttribute{Name: name, Required: a.Required, Optional: a.Optional && !a.Required, Computed: a.Computed}
	if a.Of == nil {
		var err error
		out.Type, err = typeOf(a.Type)
		return out, err
	}
	inner, err := body(&a.Of.Block)
	if err != nil {
		return nil, err
	}
	if len(inner.BlockTypes) > 0 {
		return nil, fmt.Errorf("a block within an argument")
	}
	nesting := a.Of.Nesting
	if nesting == typings.List && a.Of.Max == 1 {
		nesting = typings.Single
	}
	out.NestedType = &tfprotov6.SchemaObject{Attributes: inner.Attributes, Nesting: objectNesting[nesting]}
	return out, nil
}

// typeOf reads "map(list(string))".
func typeOf(t typings.Type) (tftypes.Type, error) {
	outer, inner, is := strings.Cut(strings.TrimSuffix(string(t), ")"), "(")
	if !is {
		switch t {
		case "string":
			return tftypes.String, nil
		case "number":
			return tftypes.Number, nil
		case "bool":
			return tftypes.Bool, nil
		case "dynamic":
			return tftypes.DynamicPseudoType, nil
		}
		return nil, fmt.Errorf("no type: %q", t)
	}
	of, err := typeOf(typings.Type(inner))
	if err != nil {
		return nil, err
	}
	switch outer {
	case "list":
		return tftypes.List{ElementType: of}, nil
	case "set":
		return tftypes.Set{ElementType: of}, nil
	case "map":
		return tftypes.Map{ElementType: of}, nil
	}
	return nil, fmt.Errorf("no type: %q", t)
}
