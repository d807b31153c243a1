package mcp

// Members reads one JSON object strictly and returns the values of the names, in their order; nil for a name that the
// object lacks. Other members pass, unless a lenient reader could take one for one of the names.
func Members(in []byte, names ...string) ([]Token, error) {
	if err := checkEncoding(in); err != nil {
		return nil, err
	}
	p := parser{scanner: scanner{in: in}}
	if p.peek() != '{' {
		return nil, p.errorf("no JSON object")
	}
	values, to := make([]Token, len(names)), make([]*Token, len(names))
	for i := range values {
		to[i] = &values[i]
	}
	if err := p.members(to, names...); err != nil {
		return nil, err
	}
	return values, p.end()
}
