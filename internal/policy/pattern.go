package policy

// Pattern is a glob of a policy, for others that select by name in the same way. The zero Pattern matches nothing.
type Pattern struct{ glob glob }

// ParsePattern reads a pattern; CheckGlob says which are none.
func ParsePattern(text string) (Pattern, error) {
	g, err := parseGlob(text)
	return Pattern{g}, err
}

// Match tells whether the pattern stands for s.
func (p Pattern) Match(s string) bool { return p.glob.match(s) }
