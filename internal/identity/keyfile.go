package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"mcpgateway/internal/clock"
)

// KeyFile is what an issuer's keys are brought in to those who cannot reach the issuer (Issuer.KeysFile). Who may write it
// decides whose tokens are accepted.
type KeyFile struct {
	Issuer  string          `json:"issuer"`
	Fetched time.Time       `json:"fetched"` // when they were the issuer's
	Keys    json.RawMessage `json:"keys"`    // JSON Web Key Set (RFC 7517)
}

// maxAhead is how far the clock of whoever wrote a file may be ahead of ours.
const maxAhead = time.Minute

// FetchKeys asks an issuer for its keys, as a Verifier does. client may be nil.
func FetchKeys(ctx context.Context, issuer string, client *http.Client) (KeyFile, error) {
	if err := checkURL(issuer); err != nil {
		return KeyFile{}, err
	}
	began := clock.Wall()
	keys, err := fetcher{issuer: issuer, client: newClient(client)}.fetch(ctx)
	if err != nil {
		return KeyFile{}, err
	}
	return KeyFile{Issuer: issuer, Fetched: began.UTC().Truncate(time.Second), Keys: keys.raw}, nil
}

// readKeyFile reads the keys of an issuer. How old they may be is the keySource's.
func readKeyFile(path, issuer string, now time.Time) (*keySet, time.Time, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 2*maxDocument)) // of a larger one half is no JSON
	if err != nil {
		return nil, time.Time{}, err
	}
	var file KeyFile
	switch err := json.Unmarshal(text, &file); {
	case err != nil:
		return nil, time.Time{}, fmt.Errorf("read %s: %w", path, err)
	case file.Issuer != issuer:
		return nil, time.Time{}, fmt.Errorf("%s has the keys of another issuer", path)
	case file.Fetched.After(now.Add(maxAhead)):
		return nil, time.Time{}, fmt.Errorf("%s is of %v, which is yet to come", path, file.Fetched)
	}
	keys, err := parseKeySet(file.Keys)
	return keys, file.Fetched, err
}

// brought fetches keys from a file. Where that is missing or grows old the issuer itself is asked: some who read the file reach it.
// With an error too, keys are those of the file.
func brought(path string, from fetcher, now func() time.Time) func(context.Context) (*keySet, time.Time, error) {
	return func(ctx context.Context) (*keySet, time.Time, error) {
		keys, fetched, err := readKeyFile(path, from.issuer, now())
		if err == nil && now().Sub(fetched) < askAfter {
			return keys, fetched, nil
		}
		if err == nil {
			err = fmt.Errorf("%s is of %v: does what writes it run?", path, fetched)
		}
		began := now()
		asked, failed := from.fetch(ctx)
		if failed != nil {
			return keys, fetched, errors.Join(err, failed)
		}
		return asked, began, nil
	}
}
