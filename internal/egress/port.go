package egress

import (
	"errors"
	"net/url"
	"strconv"
)

// PortOf is the port that an http or https URL leads to (RFC 9110, section 4.2).
func PortOf(u *url.URL) (uint16, error) {
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return 0, errors.New("the URL begins neither with https nor with http")
	case u.Port() != "":
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		return uint16(port), err
	case u.Scheme == "https":
		return 443, nil
	}
	return 80, nil
}
