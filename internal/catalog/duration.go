package catalog

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a time span in YAML: Go's notation ("90s", "1h30m") or whole days ("30d").
type Duration time.Duration

// ParseDuration reads the notation of Duration.
func ParseDuration(s string) (Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, badDuration(s)
		}
		return Duration(time.Duration(n) * 24 * time.Hour), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, badDuration(s)
	}
	return Duration(d), nil
}

func badDuration(s string) error {
	return fmt.Errorf("%.40q is not a duration: write 30s, 5m, 2h or 30d", s)
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	if err == nil {
		*d = v
	}
	return err
}

// String implements fmt.Stringer.
func (d Duration) String() string { return time.Duration(d).String() }
