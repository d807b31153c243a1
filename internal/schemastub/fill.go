package main

import (
	"math/big"

	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"mcpgateway/internal/schemastub/typings"
)

// make says what an attribute is that nobody gave a value.
type makeValue func(name string, t tftypes.Type) (tftypes.Value, error)

// unknown is known after apply.
func unknown(_ string, t tftypes.Type) (tftypes.Value, error) {
	return tftypes.NewValue(t, tftypes.UnknownValue), nil
}

// fill gives what is computed and null a value, in a block and in all that are in it.
func fill(b *typings.Block, v tftypes.Value, value makeValue) (tftypes.Value, error) {
	if v.IsNull() || !v.IsKnown() {
		return v, nil
	}
	var fields map[string]tftypes.Value
	if err := v.As(&fields); err != nil {
		return v, err
	}
	var err error
	for name, a := range b.Attributes {
		if !fields[name].IsNull() {
			if a.Of != nil && fields[name].IsKnown() {
				if fields[name], err = fillAll(&a.Of.Block, fields[name], value); err != nil {
					return v, err
				}
			}
			continue
		}
		if a.Computed {
			if fields[name], err = value(name, fields[name].Type()); err != nil {
				return v, err
			}
		}
	}
	for name, n := range b.Blocks {
		if fields[name], err = fillAll(&n.Block, fields[name], value); err != nil {
			return v, err
		}
	}
	return tftypes.NewValue(v.Type(), fields), nil
}

// fillAll fills the blocks of a list, a set or a map, or the single one.
func fillAll(b *typings.Block, v tftypes.Value, value makeValue) (tftypes.Value, error) {
	if v.IsNull() || !v.IsKnown() {
		return v, nil
	}
	switch v.Type().(type) {
	case tftypes.Object:
		return fill(b, v, value)
	case tftypes.Map:
		var all map[string]tftypes.Value
		if err := v.As(&all); err != nil {
			return v, err
		}
		for k, one := range all {
			filled, err := fill(b, one, value)
			if err != nil {
				return v, err
			}
			all[k] = filled
		}
		return tftypes.NewValue(v.Type(), all), nil
	}
	var all []tftypes.Value
	if err := v.As(&all); err != nil {
		return v, err
	}
	for i, one := range all {
		filled, err := fill(b, one, value)
		if err != nil {
			return v, err
		}
		all[i] = filled
	}
	return tftypes.NewValue(v.Type(), all), nil
}

// textAt is a field of an object, where it is a text that is known.
func textAt(v tftypes.Value, name string) string {
	var fields map[string]tftypes.Value
	var text string
	if !v.IsKnown() || v.IsNull() || v.As(&fields) != nil {
		return ""
	}
	if f := fields[name]; f.IsNull() || !f.IsKnown() || f.As(&text) != nil {
		return ""
	}
	return text
}

// numberAt is a field of an object, where it is a number that is known; else 0.
func numberAt(v tftypes.Value, name string) int {
	var fields map[string]tftypes.Value
	var number big.Float
	if !v.IsKnown() || v.IsNull() || v.As(&fields) != nil {
		return 0
	}
	if f, has := fields[name]; !has || f.IsNull() || !f.IsKnown() || !f.Type().Is(tftypes.Number) || f.As(&number) != nil {
		return 0
	}
	n, _ := number.Int64()
	return int(n)
}

// lastName is the name of the attribute that a path ends in or is within.
func lastName(p *tftypes.AttributePath) string {
	steps := p.Steps()
	for i := len(steps) - 1; i >= 0; i-- {
		if name, is := steps[i].(tftypes.AttributeName); is {
			return string(name)
		}
	}
	return ""
}
