package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"mcpgateway/internal/mirror"
)

// settings are what the environment says.
type settings struct {
	platform string           // path of the platform file
	bucket   *mirror.Location // where that is a copy of it
	function bool             // events of Lambda's Runtime API are served, and no address
	address  string           // else
	metrics  string
	status   string
}

// readSettings reads all variables. The error names everything that is wrong with them.
func readSettings() (s settings, err error) {
	var problems []error
	add := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	s = settings{platform: os.Getenv("PLATFORM"), address: os.Getenv("LISTEN"), metrics: os.Getenv("METRICS"), status: os.Getenv("STATUS_SOCKET")}
	switch at, is, err := mirror.Parse(s.platform); {
	case s.platform == "":
		add("PLATFORM is not set: it must name the platform file")
	case err != nil:
		add("PLATFORM: %w", err)
		s.platform = ""
	case is:
		s.bucket = &at
	}
	port := os.Getenv("PORT")
	s.function = os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" && port == "" && s.address == ""
	if n, err := strconv.Atoi(port); port != "" && (err != nil || n < 0 || n > 65535) {
		add("PORT: %.20q is no port", port)
	}
	if _, _, err := net.SplitHostPort(s.address); s.address != "" && err != nil {
		add("LISTEN: %w", err)
	}
	if _, _, err := net.SplitHostPort(s.metrics); s.metrics != "" && !strings.HasPrefix(s.metrics, "unix:") && err != nil {
		add("METRICS: %w; or it is unix:PATH", err)
	}
	if s.function && s.metrics+s.status != "" {
		add("METRICS and STATUS_SOCKET are for a server: a function is frozen when nobody calls it, and answers nobody else")
	}
	switch {
	case s.address != "":
	case port != "":
		s.address = ":" + port
	default:
		s.address = "127.0.0.1:8080"
	}
	return s, errors.Join(problems...)
}
