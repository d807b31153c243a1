package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// signer signs what a webhook gets, in two ways: as Obot's gateway does, whose webhooks then work unchanged, and as the
// Standard Webhooks specification 1.0 has it, where id and time are part of what is signed.
type signer struct {
	old      []byte // the secret's own bytes
	standard []byte // what a secret in the form whsec_BASE64 stands for; else the same
}

const standardPrefix = "whsec_"

func newSigner(secret []byte) (signer, error) {
	s := signer{old: secret, standard: secret}
	text, ok := strings.CutPrefix(string(secret), standardPrefix)
	if !ok {
		return s, nil
	}
	var err error
	if s.standard, err = base64.StdEncoding.Strict().DecodeString(text); err != nil || len(s.standard) == 0 {
		return s, errors.New("a secret that begins with " + standardPrefix + " must go on in base64")
	}
	return s, nil
}

// newID names a delivery, so that a webhook which gets it twice can tell.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return "msg_" + base64.RawURLEncoding.EncodeToString(b[:])
}

// sign adds the headers of one attempt. Without a secret they only tell what is delivered, and when.
func (s signer) sign(h http.Header, id string, at time.Time, body []byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", timestamp)
	if len(s.old) == 0 {
		return
	}
	h.Set("X-Obot-Signature-256", hex.EncodeToString(sum(s.old, body)))
	signed := append([]byte(id+"."+timestamp+"."), body...)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(sum(s.standard, signed)))
}

func sum(key, text []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(text)
	return m.Sum(nil)
}
