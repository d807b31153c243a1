package rules

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// MaxBytes bounds a signed document: it must fit into a Kubernetes ConfigMap, which holds 1 MiB with its names.
const MaxBytes = 1_000_000

// The signed form is one line, "mcpgateway-rules-1 <signature in base64>\n", followed by the JSON. The signature covers
// the line's first word, a newline and the JSON's exact bytes, so that nothing else signed with the same key, and no
// later format, can be passed off as rules.
const format = "mcpgateway-rules-1"

var (
	linePrefix   = []byte(format + " ")
	signedPrefix = []byte(format + "\n")
	signatureLen = base64.StdEncoding.EncodedLen(ed25519.SignatureSize)
)

// Sign returns the document that Open reads. It refuses rules without server or version, and rules over MaxBytes.
func Sign(key ed25519.PrivateKey, r Rules) ([]byte, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, errors.New("sign rules: the key is not an Ed25519 private key")
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("sign rules: %w", err)
	}
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("sign rules: %w", err)
	}
	signature := ed25519.Sign(key, append(bytes.Clone(signedPrefix), body...))
	signed := append(bytes.Clone(linePrefix), base64.StdEncoding.EncodeToString(signature)...)
	signed = append(append(signed, '\n'), body...)
	if len(signed) > MaxBytes {
		return nil, fmt.Errorf("sign rules: %d bytes, the limit is %d", len(signed), MaxBytes)
	}
	return signed, nil
}

// Open verifies a signed document and only then parses it.
//
// It refuses fields that it does not know. Every field of Rules admits or restricts somebody, so a shim that skipped
// one would allow more than the operator wrote; refusing makes it keep the rules it has, which it may do for a bounded
// time only, until the deployer has replaced it by a shim that knows the field.
//
// The caller must still check that Server is the server it governs, since one key signs for all of them, and that
// Version is not below the one in force, since an old document is signed as well as a new one.
func Open(pub ed25519.PublicKey, signed []byte) (Rules, error) {
	body, err := verify(pub, signed)
	if err != nil {
		return Rules{}, fmt.Errorf("open rules: %w", err)
	}
	var r Rules
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Rules{}, fmt.Errorf("open rules: %w", err)
	}
	if d.InputOffset() != int64(len(body)) {
		return Rules{}, errors.New("open rules: bytes after the document")
	}
	if err := r.check(); err != nil {
		return Rules{}, fmt.Errorf("open rules: %w", err)
	}
	return r, nil
}

// verify returns the bytes that the signature covers.
func verify(pub ed25519.PublicKey, signed []byte) ([]byte, error) {
	if len(pub) != ed25519.PublicKeySize {
		return nil, errors.New("the key is not an Ed25519 public key")
	}
	if len(signed) > MaxBytes {
		return nil, fmt.Errorf("over %d bytes", MaxBytes)
	}
	rest, ok := bytes.CutPrefix(signed, linePrefix)
	if !ok || len(rest) <= signatureLen || rest[signatureLen] != '\n' {
		return nil, fmt.Errorf("not a %s document", format)
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(string(rest[:signatureLen]))
	if err != nil {
		return nil, fmt.Errorf("not a %s document", format)
	}
	body := rest[signatureLen+1:]
	if !ed25519.Verify(pub, append(bytes.Clone(signedPrefix), body...), signature) {
		return nil, errors.New("the signature is not the deployer's")
	}
	return body, nil
}

func (r Rules) check() error {
	if r.Server == "" {
		return errors.New("no server is named")
	}
	if r.Version <= 0 {
		return errors.New("no version is given")
	}
	return nil
}
