package main

import (
	"strings"
	"testing"

	"mcpgateway/functions/oauth/envelope/envelopetest"
	"mcpgateway/internal/awsenv"
	"mcpgateway/internal/awsenv/awsenvtest"
)

// With a key in KMS nobody uses an account without asking it, and KMS is told of which person and server a record is.
func TestAccountsByKMS(t *testing.T) {
	kms := envelopetest.Start(t)
	for name, value := range map[string]string{"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": envelopetest.Credentials.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY": envelopetest.Credentials.SecretAccessKey, "AWS_SESSION_TOKEN": envelopetest.Credentials.SessionToken, "AWS_ENDPOINT_URL_KMS": kms.URL,
		awsenv.Recording: awsenvtest.Recording(t, "oauth", "kms:Decrypt", "kms:GenerateDataKey")} {
		t.Setenv(name, value)
	}
	r, up := newAccountRig(t)
	r.edit("oauth:\n", "oauth:\n  kmsKey: '"+envelopetest.Key+"'\n")
	alice := r.connected(r.browser(), "alice").Access
	got := r.exchange(shimID, alice)
	if _, good := up.Knows(got.Access); got.Status != 200 || !good {
		t.Fatalf("%+v", got)
	}
	mine := 0
	for _, label := range kms.Labels() {
		if label["part"] == r.person("alice").AccountsPart() && label["sort"] == "account/notes" {
			mine++
		}
		if strings.Contains(label["part"]+label["sort"], "alice") {
			t.Errorf("KMS, which logs it, is told who it is: %v", label)
		}
	}
	if mine < 2 {
		t.Errorf("KMS was told %v", kms.Labels())
	}
	kms.Down.Store(true)
	if got := r.exchange(shimID, alice); got.Status != 503 || got.Access != "" {
		t.Errorf("while KMS is down: %+v", got)
	}
	kms.Down.Store(false)
	if got := r.exchange(shimID, alice); got.Status != 200 {
		t.Errorf("afterwards: %+v", got)
	}
}
