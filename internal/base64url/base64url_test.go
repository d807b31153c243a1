package base64url

import "testing"

// No text but the one that Encode makes is taken.
func TestOneTextForBytes(t *testing.T) {
	for text, ok := range map[string]bool{"": true, "_-8": true, "AA": true, "AB": false, "AA==": false, "A\nA": false, "AA\r\n": false, "\nAA": false, "+/8": false, "A": false, " AA": false} {
		data, err := Decode(text)
		if (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil && Encode(data) != text {
			t.Errorf("%q is written %q", text, Encode(data))
		}
	}
}

func FuzzOneTextForBytes(f *testing.F) {
	f.Add("_-8")
	f.Add("AB")
	f.Fuzz(func(t *testing.T, text string) {
		if data, err := Decode(text); err == nil && Encode(data) != text {
			t.Errorf("%q has another text, %q", text, Encode(data))
		}
	})
}
