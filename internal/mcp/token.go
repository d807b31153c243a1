package mcp

// Members calls member with each name of an object and its value, in their order. The token must be a part of bytes that
// were parsed; what is no object is an error.
func (t Token) Members(member func(name string, value Token) error) error {
	s := scanner{in: t}
	return s.object(func(name string) error {
		s.space()
		v, err := s.value()
		if err != nil {
			return err
		}
		return member(name, v)
	})
}

// Items calls item with each item of an array, as Members does.
func (t Token) Items(item func(value Token) error) error {
	s := scanner{in: t}
	return s.array(func() error {
		s.space()
		v, err := s.value()
		if err != nil {
			return err
		}
		return item(v)
	})
}
