package docker

import "testing"

func TestQuantities(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "500m": 5e8, "2": 2e9, "0.25": 25e7, "x": -1, "-1": -1, "0": -1, "1e9": -1, "m": -1, "NaN": -1, "Inf": -1} {
		if got, err := nanoCPUs(text); err != nil && want != -1 || err == nil && got != want {
			t.Errorf("cpu %q is %d, %v, want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]int64{"": 0, "64": 64, "1k": 1000, "256Mi": 256 << 20, "1Gi": 1 << 30, "2T": 2e12,
		"x": -1, "0": -1, "-1": -1, "1kM": -1, "1 Mi": -1, "Mi": -1, "1.5Gi": -1, "9999999Ti": -1} {
		if got, err := memoryBytes(text); err != nil && want != -1 || err == nil && got != want {
			t.Errorf("memory %q is %d, %v, want %d", text, got, err, want)
		}
	}
}

func TestVersionsAreCompared(t *testing.T) {
	for version, want := range map[string]bool{"1.41": false, "1.56": false, "2.0": false, "1.40": true, "1.9": true, "": true, "x": true} {
		if got := older(version, oldest); got != want {
			t.Errorf("%q is older: %v", version, got)
		}
	}
}
