package deploy

import "time"

// Key names what is ensured: a server, and where each user has an instance of their own, whose.
type Key struct {
	Server string `json:"server"`
	Owner  *Owner `json:"owner,omitempty"`
}

// KeyID is a Key that can be compared and can index a map.
type KeyID struct{ Server, Issuer, Subject string }

// ID returns the comparable form. No two different keys have the same, since no owner has an empty issuer and subject.
func (k Key) ID() KeyID {
	if k.Owner == nil {
		return KeyID{Server: k.Server}
	}
	return KeyID{Server: k.Server, Issuer: k.Owner.Issuer, Subject: k.Owner.Subject}
}

// Text is one that no two ids share: no issuer and no server holds a zero byte.
func (k KeyID) Text() string { return k.Server + "\x00" + k.Issuer + "\x00" + k.Subject }

// Instance is a running group that takes calls.
type Instance struct {
	// ID changes with every start. It names no server and no user.
	ID string `json:"id"`
	// URL is where the shim listens: unix:///path/shim.sock, or http://host:port; or where the ingress before it does.
	URL string `json:"url"`
	// Host is the Host header under which the ingress at URL knows the instance; empty where URL is the instance's own.
	Host string `json:"host,omitempty"`
	// Cold says that the caller waited for a start.
	Cold bool `json:"cold"`
}

// Status is an instance as an operator sees it.
type Status struct {
	Key  Key    `json:"key"`
	ID   string `json:"id"`
	Hash string `json:"hash"` // of the plan it was started by
	// Ready says that it got as far as taking calls; before that it starts.
	Ready bool `json:"ready"`
	// AsleepSince is since when nothing of it runs, though it is deployed; zero where something does, or it is not known.
	AsleepSince time.Time `json:"asleepSince,omitzero"`
	// Memory is what all its processes have in memory, in bytes: pages that they share count for each. 0 is not known.
	Memory int64 `json:"memory,omitempty"`
}
