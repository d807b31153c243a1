package localstack

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcpgateway/localstack/lambda"
)

// The gateway is a function behind the front that was asked for, and its bill is printed when all has ended.
func TestGatewayOnLambda(t *testing.T) {
	for kind, version := range map[lambda.EventKind]string{lambda.FunctionURL: "2.0", lambda.RESTAPI: "<nil>"} {
		r := start(t, Config{Lambda: &Lambda{Events: kind, RemapAuthenticate: true}})
		r.await(t, &r.out, "The gateway is up")
		res, err := http.Get("http://" + local(r.Port) + "/")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(res.Body); err != nil {
			t.Error(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK || res.Header.Get("X-Amzn-Remapped-Www-Authenticate") != "Bearer" || res.Header.Get("X-Event") != version {
			t.Errorf("%s %v", res.Status, res.Header)
		}
		r.stop()
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
		if text := r.out.String(); !strings.Contains(text, "The gateway would have cost: 0.") || !strings.Contains(text, "(0 failed, 0 timed out)") {
			t.Errorf("printed: %s", text)
		}
		if strings.Contains(r.log.String(), "gateway audit") {
			t.Errorf("the gateway was also started as a process: %s", &r.log)
		}
		awaitGone(t, append(r.pids("gateway"), r.pids("deployer")...)...)
	}
}

// A gateway that cannot begin is told at once, and its own lines say why.
func TestGatewayThatFailsOnLambda(t *testing.T) {
	programs := fakes(t)
	gateway := filepath.Join(programs, "gateway")
	if err := os.Remove(gateway); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(gateway, []byte("#!/bin/sh\necho no such issuer\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := start(t, Config{Programs: programs, Lambda: &Lambda{}})
	if err := <-r.ended; err == nil || !strings.Contains(err.Error(), "its lines above say why") || !strings.Contains(r.log.String(), "no such issuer") {
		t.Error(err)
	}
}
