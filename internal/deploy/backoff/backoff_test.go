package backoff

import (
	"testing"
	"time"

	"mcpgateway/internal/deploy"
)

func TestBackoff(t *testing.T) {
	b := New(time.Second)
	now := time.Now()
	key, other := deploy.Key{Server: "a"}, deploy.Key{Server: "a", Owner: &deploy.Owner{Issuer: "i", Subject: "s"}}
	for i, want := range []time.Duration{0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60, 60, 60} {
		b.Fail(key, now.Add(-time.Second), now)
		if got := b.Pause(key, now); got != want*time.Second {
			t.Errorf("pause %v after %d failures, want %v", got, i+1, want*time.Second)
		}
	}
	if got := b.Pause(other, now); got != 0 {
		t.Errorf("another's failures cost %v", got)
	}
	if got := b.Pause(key, now.Add(59*time.Second)); got != time.Second {
		t.Errorf("%v left of the pause", got)
	}
	if got := b.Pause(key, now.Add(2*time.Minute)); got != 0 {
		t.Errorf("%v after the pause", got)
	}
	b.Fail(key, now.Add(-steady), now)
	if got := b.Pause(key, now); got != 0 {
		t.Errorf("pause %v though it ran for long", got)
	}
	b.Fail(key, now, now)
	later := now.Add(forget + time.Second)
	b.Fail(key, later, later)
	if got := b.Pause(key, later); got != 0 {
		t.Errorf("pause %v: old failures count", got)
	}
	b.Fail(other, later.Add(forget*2), later.Add(forget*2))
	if len(b.keys) != 1 {
		t.Errorf("%d keys are remembered", len(b.keys))
	}
}
