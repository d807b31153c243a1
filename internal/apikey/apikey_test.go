package apikey

import (
	"strings"
	"testing"
)

func TestIs(t *testing.T) {
	good := Prefix + strings.Repeat("aZ9-_", 17) + "aa"
	for text, want := range map[string]bool{good: true, "": false, good[:90]: false, good + "a": false, "x" + good[1:]: false, good[:90] + "=": false,
		good[:90] + "\n": false, "\n" + good: false, good + "\n": false, strings.ToUpper(good): false} {
		if Is(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}
