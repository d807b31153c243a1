package condition

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"mcpgateway/internal/mcp"
)

// maxValues bounds how many members of objects and items of lists are decoded of one message's arguments.
const maxValues = 10_000

var (
	errTooMany   = fmt.Errorf("the condition reads arguments of more than %d values", maxValues)
	errBigNumber = errors.New("the condition reads a number that servers read differently: it has no exact double")
	errSurrogate = errors.New("the condition reads a text that servers read differently: it holds half a surrogate pair")
	errSpelling  = errors.New("the condition reads an argument whose name differs in case from the one that was sent, or beside __proto__")
)

// decoder turns the JSON of one message into values of CEL, the members of an object when they are read. What some server
// may read in another way than we do is an error where it is read, and harmless where it is not.
type decoder struct{ values int }

// newArguments makes the variable args. The bytes are an object that mcp.Parse has read, or nothing.
func newArguments(raw []byte) ref.Val {
	if raw == nil {
		raw = []byte("{}")
	}
	if raw[0] != '{' {
		return types.WrapErr(errType)
	}
	return new(decoder).object(raw)
}

func (d *decoder) value(t mcp.Token) ref.Val {
	switch t[0] {
	case '{':
		return d.object(t)
	case '[':
		return d.list(t)
	case '"':
		s, ok := t.Text()
		if !ok {
			return types.WrapErr(errSurrogate)
		}
		return types.String(s)
	case 't', 'f':
		return types.Bool(t[0] == 't')
	case 'n':
		return types.NullValue
	}
	return number(string(t))
}

func (d *decoder) list(t mcp.Token) ref.Val {
	var items []ref.Val
	err := t.Items(func(item mcp.Token) error {
		if d.values++; d.values > maxValues {
			return errTooMany
		}
		items = append(items, d.value(item))
		return nil
	})
	if err != nil {
		return types.WrapErr(err)
	}
	return types.NewRefValList(registry, items)
}

// number reads a number as every server does: whole ones as integers, as long as they are exact doubles, which is what
// JavaScript reads; others as doubles.
func number(t string) ref.Val {
	if !strings.ContainsAny(t, ".eE") {
		n, err := strconv.ParseInt(t, 10, 64)
		if err != nil || !exact(n) {
			return types.WrapErr(errBigNumber)
		}
		return types.Int(n)
	}
	f, err := strconv.ParseFloat(t, 64)
	if err != nil {
		return types.WrapErr(errBigNumber) // out of range: infinity to some, an error to others
	}
	return types.Double(f)
}

func exact(n int64) bool {
	f := float64(n)
	return f < math.MaxInt64 && int64(f) == n
}

// object is a JSON object as a map of CEL.
type object struct {
	decoder *decoder
	members map[string]*member // by folded name
	names   []string           // in order
}

type member struct {
	name  string
	raw   mcp.Token
	value ref.Val // once it was read
	twin  bool    // there are several names that differ only in case
}

func (d *decoder) object(t mcp.Token) ref.Val {
	o := &object{decoder: d, members: map[string]*member{}}
	err := t.Members(func(name string, value mcp.Token) error {
		if d.values++; d.values > maxValues {
			return errTooMany
		}
		if name == "__proto__" { // what it holds is the object's own to servers that copy by assignment in JavaScript
			return errSpelling
		}
		o.names = append(o.names, name)
		key := fold(name)
		if before := o.members[key]; before != nil {
			before.twin = true
			return nil
		}
		o.members[key] = &member{name: name, raw: value}
		return nil
	})
	if err != nil {
		return types.WrapErr(err)
	}
	return o
}

// fold makes names equal that readers which ignore case take for the same.
func fold(name string) string {
	if !strings.ContainsFunc(name, func(r rune) bool { return r >= 'A' && r <= 'Z' || r > unicode.MaxASCII }) {
		return name
	}
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return unicode.ToLower(least)
	}, name)
}

// Find implements traits.Mapper. Some servers ignore case: a name that is there in another spelling is an error, and not
// missing.
func (o *object) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key), false
	}
	m := o.members[fold(string(name))]
	switch {
	case m == nil:
		return nil, false
	case m.twin || m.name != string(name):
		return types.WrapErr(errSpelling), false
	}
	if m.value == nil {
		m.value = o.decoder.value(m.raw)
	}
	return m.value, true
}

// Get implements traits.Indexer.
func (o *object) Get(key ref.Val) ref.Val {
	v, found := o.Find(key)
	switch {
	case v != nil:
		return v
	case found:
		return types.NullValue
	}
	return types.NewErr("no such key")
}

// Contains implements traits.Container.
func (o *object) Contains(key ref.Val) ref.Val {
	v, found := o.Find(key)
	if v != nil && types.IsError(v) {
		return v
	}
	return types.Bool(found)
}

// Size implements traits.Sizer.
func (o *object) Size() ref.Val {
	return types.Int(len(o.names))
}

// Iterator implements traits.Iterable: over the names, in their order.
func (o *object) Iterator() traits.Iterator {
	return types.NewStringList(registry, slices.Clone(o.names)).Iterator()
}

// Equal implements ref.Val.
func (o *object) Equal(other ref.Val) ref.Val {
	with, ok := other.(traits.Mapper)
	if !ok {
		return types.False
	}
	if with.Size() != types.Int(len(o.names)) {
		return types.False
	}
	for _, name := range o.names {
		mine, _ := o.Find(types.String(name))
		if types.IsError(mine) {
			return mine
		}
		its, found := with.Find(types.String(name))
		if !found {
			return types.False
		}
		if same := mine.Equal(its); same != types.True {
			return same
		}
	}
	return types.True
}

// ConvertToNative implements ref.Val. Nothing asks for it.
func (o *object) ConvertToNative(reflect.Type) (any, error) { return nil, errType }

// ConvertToType implements ref.Val.
func (o *object) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.MapType:
		return o
	case types.TypeType:
		return types.MapType
	}
	return types.NewErr("type conversion")
}

// Type implements ref.Val.
func (o *object) Type() ref.Type { return types.MapType }

// Value implements ref.Val.
func (o *object) Value() any { return o }
