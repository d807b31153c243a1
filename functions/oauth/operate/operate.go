// Package operate is what an operator asks of the authorization server that runs on the same machine, over a Unix socket that
// only its owner can reach.
//
// Whoever reaches the socket may ask all of it. Nothing of it can be asked over the network.
package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"mcpgateway/functions/oauth/grant"
	"mcpgateway/internal/store/dynamo"
)

// timeout is how long an answer may take.
const timeout = 30 * time.Second

// Socket is the socket in the folder for the server's state.
func Socket(state string) string { return filepath.Join(state, "operate.sock") }

// question asks to end all that a person granted.
type question struct{ Issuer, Subject string }

// Serve answers until the listener is closed. revoke ends all that a person granted.
func Serve(l net.Listener, revoke func(context.Context, grant.Person) (grant.Ended, error)) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /revoke", func(w http.ResponseWriter, r *http.Request) {
		var q question
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&q); err != nil || q.Issuer == "" || q.Subject == "" {
			http.Error(w, "issuer and subject are needed", http.StatusBadRequest)
			return
		}
		ended, err := revoke(r.Context(), grant.Person(q))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError) // to its owner
			return
		}
		_ = json.NewEncoder(w).Encode(ended) // who asked may have gone
	})
	server := &http.Server{Handler: mux, ReadTimeout: timeout, WriteTimeout: timeout}
	if err := server.Serve(l); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// RevokeIn ends all that a person granted in a table: whatever servers share it, and wherever they run.
func RevokeIn(ctx context.Context, table string, p grant.Person) (grant.Ended, error) {
	kept, err := dynamo.Start(ctx, table, time.Now)
	if err != nil {
		return grant.Ended{}, fmt.Errorf("oauth.table: %w", err)
	}
	defer kept.Close()
	return (&grant.Grants{Store: kept, Now: time.Now}).RevokePerson(ctx, p)
}

// Revoke has the server with this state end all that a person granted, and says how much that was.
func Revoke(ctx context.Context, state string, p grant.Person) (ended grant.Ended, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", Socket(state))
	}}}
	body, writer := io.Pipe()
	go func() { writer.CloseWithError(json.NewEncoder(writer).Encode(question(p))) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://oauth/revoke", body)
	if err != nil {
		return ended, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return ended, fmt.Errorf("ask the authorization server (it must run on this machine): %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the authorization server answers %s: %s", resp.Status, text)
	}
	if err == nil {
		err = json.Unmarshal(text, &ended)
	}
	return ended, err
}
