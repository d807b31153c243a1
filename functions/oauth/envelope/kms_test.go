package envelope_test

import (
	"errors"
	"testing"

	"mcpgateway/functions/oauth/envelope"
	"mcpgateway/functions/oauth/envelope/envelopetest"
)

func TestKMS(t *testing.T) {
	f := envelopetest.Start(t)
	k := envelope.NewKMS(envelopetest.Key, f.Config(envelopetest.Credentials))
	s, err := seal(t, k, label, []byte("tokens"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := envelope.Open(t.Context(), k, label, s); err != nil {
		t.Error(err)
	}
	if got := f.Labels(); len(got) != 2 || got[0]["sub"] != "alice" || got[1]["sub"] != "alice" || len(got[0]) != len(label) {
		t.Errorf("KMS was told %v", got)
	}
	if _, err := envelope.Open(t.Context(), envelope.NewKMS("another", f.Config(envelopetest.Credentials)), label, s); !errors.Is(err, envelope.ErrForeign) {
		t.Errorf("by another key: %v", err)
	}
	wrong := envelopetest.Credentials
	wrong.SecretAccessKey = "another"
	if _, err := envelope.Open(t.Context(), envelope.NewKMS(envelopetest.Key, f.Config(wrong)), label, s); err == nil || errors.Is(err, envelope.ErrForeign) {
		t.Errorf("by another's credentials: %v", err)
	}
	f.Down.Store(true)
	if _, err := envelope.Open(t.Context(), k, label, s); err == nil || errors.Is(err, envelope.ErrForeign) {
		t.Errorf("while KMS is down: %v", err)
	}
	if _, err := seal(t, k, label, nil); err == nil {
		t.Error("a record is sealed while KMS is down")
	}
}
