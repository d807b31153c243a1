// Package traffic is what a gateway tells its own operator: which servers its catalog has, and what is under way to each.
//
// It goes over a private socket and says nothing about people: no names, no tokens, no arguments. It is for looking at;
// nothing is decided by it.
package traffic

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"time"
)

// Status is the whole document.
type Status struct {
	// Deployer is where the deployer of these servers is asked: a socket, or a URL.
	Deployer string   `json:"deployer"`
	Servers  []Server `json:"servers"` // in the order of the catalog
}

// Server is one server of the catalog.
type Server struct {
	ID        string `json:"id"`
	PerUser   bool   `json:"perUser,omitempty"` // each user has an instance of their own
	Calls     int64  `json:"calls"`             // under way
	Total     int64  `json:"total"`             // begun since the gateway started
	Listeners int64  `json:"listeners"`         // streams on which clients only listen
	Waiting   int64  `json:"waiting"`           // of the calls under way, those that wait for the server to start
}

// maxStatus bounds a document, in bytes: a catalog has ten thousand servers at most.
const maxStatus = 2 << 20

// patience is how long a gateway may take to answer.
const patience = 5 * time.Second

// Read asks the gateway that serves its status on a socket.
func Read(ctx context.Context, socketPath string) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socketPath)
		}}
	var status Status
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gateway/", nil)
	if err != nil {
		return status, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return status, fmt.Errorf("ask the gateway: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus+1))
	switch {
	case err != nil:
		return status, fmt.Errorf("ask the gateway: %w", err)
	case resp.StatusCode != http.StatusOK:
		return status, fmt.Errorf("ask the gateway: it answered %s", resp.Status)
	case len(text) > maxStatus:
		return status, fmt.Errorf("ask the gateway: over %d bytes", maxStatus)
	}
	if status, err = parse(text); err != nil {
		return status, fmt.Errorf("ask the gateway: %w", err)
	}
	return status, nil
}

// serverID is the form of a server's id. Ids are shown on terminals, where other text could do anything.
var serverID = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)

func parse(text []byte) (Status, error) {
	var status Status
	if err := json.Unmarshal(text, &status); err != nil {
		return Status{}, err
	}
	for _, s := range status.Servers {
		if !serverID.MatchString(s.ID) {
			return Status{}, fmt.Errorf("no server is called %.80q", s.ID)
		}
	}
	return status, nil
}
