package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"mcpgateway/internal/secret"
	"mcpgateway/shim/exchange"
)

const (
	maxSecret        = 16 << 10 // bytes
	maxHeaderSecrets = 100
)

// readSecrets reads what the server's credentials are made of, as far as it is given: what the rules need of it, they say.
func readSecrets(getenv func(string) string, problem func(name string, err error)) exchange.Secrets {
	read := func(name string) secret.Text {
		path := getenv(name)
		if path == "" {
			return secret.Text{}
		}
		text, err := readSecret(path)
		problem(name, err)
		return text
	}
	s := exchange.Secrets{Client: read("SHIM_EXCHANGE_SECRET_FILE"), Actor: read("SHIM_ACTOR_TOKEN_FILE"), OAuth: read("SHIM_OAUTH_SECRET_FILE")}
	list := getenv("SHIM_HEADER_SECRETS")
	if list == "" {
		return s
	}
	keys := strings.Split(list, ",")
	if len(keys) > maxHeaderSecrets {
		problem("SHIM_HEADER_SECRETS", fmt.Errorf("more than %d", maxHeaderSecrets))
		return s
	}
	s.Headers = map[string]secret.Text{}
	for i, key := range keys {
		name := "SHIM_HEADER_SECRET_" + strconv.Itoa(i) + "_FILE"
		if s.Headers[key] = read(name); s.Headers[key].Empty() {
			problem(name, errors.New("not set, or its file is empty"))
		}
	}
	return s
}

// readSecret reads a file, without the newline that editors end it with.
func readSecret(path string) (secret.Text, error) {
	f, err := os.Open(path)
	if err != nil {
		return secret.Text{}, errors.New("cannot be opened")
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil || len(b) > maxSecret {
		return secret.Text{}, fmt.Errorf("cannot be read, or holds more than %d bytes", maxSecret)
	}
	return secret.New(strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")), nil
}
