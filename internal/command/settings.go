package command

import (
	"errors"
	"fmt"
	"net"
	"os"

	"mcpgateway/internal/mirror"
)

// Settings are what the environment says of a function: PLATFORM, and LISTEN or PORT.
type Settings struct {
	Platform string           // path of the platform file
	Bucket   *mirror.Location // where that is a copy of it
	Function bool             // events of Lambda's Runtime API are served, and no address
	Address  string           // else
}

// ReadSettings reads the settings, with the address of a function that is told none.
func ReadSettings(address string) (s Settings, err error) {
	s = Settings{Platform: os.Getenv("PLATFORM"), Address: os.Getenv("LISTEN")}
	at, is, err := mirror.Parse(s.Platform)
	switch {
	case s.Platform == "":
		err = errors.New("PLATFORM is not set: it must name the platform file")
	case err != nil:
		err = fmt.Errorf("PLATFORM: %w", err)
	case is:
		s.Bucket = &at
	}
	port := os.Getenv("PORT")
	s.Function = os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" && port == "" && s.Address == ""
	switch {
	case port != "":
		s.Address = net.JoinHostPort("", port)
	case s.Address == "":
		s.Address = address
	}
	return s, err
}
