package forward

import (
	"mcpgateway/internal/peer"
	"mcpgateway/shim/remote"
)

// bridgeEndpoint is what is asked of a server behind a socket, where nothing else has a name.
const bridgeEndpoint = "http://bridge/"

// reach makes the client of the server and says what to ask it for.
func (c Config) reach() (client *peer.Client, endpoint string, err error) {
	switch {
	case c.Remote != nil:
		client, err = c.Remote.Client(c.Upstream)
		return client, c.Upstream.String(), err
	case c.Upstream.Scheme == "unix":
		return remote.Local("unix", c.Upstream.Path), bridgeEndpoint, nil
	}
	return remote.Local("tcp", c.Upstream.Host), c.Upstream.String(), nil
}
