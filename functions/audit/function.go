package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/lambdahttp"
	"mcpgateway/internal/mirror"
)

// settings are what the environment says.
type settings struct {
	platform string           // path of the platform file
	bucket   *mirror.Location // where that is a copy of it
	function bool             // events of Lambda's Runtime API are served, and no address
	address  string           // else
}

func readSettings() (s settings, err error) {
	s = settings{platform: os.Getenv("PLATFORM"), address: os.Getenv("LISTEN")}
	at, is, err := mirror.Parse(s.platform)
	switch {
	case s.platform == "":
		err = errors.New("PLATFORM is not set: it must name the platform file")
	case err != nil:
		err = fmt.Errorf("PLATFORM: %w", err)
	case is:
		s.bucket = &at
	}
	port := os.Getenv("PORT")
	s.function = os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" && port == "" && s.address == ""
	switch {
	case port != "":
		s.address = net.JoinHostPort("", port)
	case s.address == "":
		s.address = "127.0.0.1:8083"
	}
	return s, err
}

// openDocuments reads the operator's documents, where they are: copied is nil where they are files.
func openDocuments(s settings, log *slog.Logger) (files *documents.Keeper, copied *mirror.Mirror, err error) {
	if s.bucket != nil {
		if copied, err = mirror.Start(*s.bucket, namedFiles, log); err != nil {
			return nil, nil, err
		}
		s.platform = copied.Platform()
	}
	files, err = documents.Open(documents.Config{Platform: s.platform, Conditions: catalog.LeaveConditions, Logger: log})
	if copied != nil && err == nil {
		copied.Changed = files.Look
	}
	return files, copied, err
}

// namedFiles are what is read besides the platform file, secrets among them: who may read the folder in S3 may be anybody.
func namedFiles(platform string) []string {
	p, err := catalog.LoadPlatform(platform)
	if err != nil {
		return nil // whoever reads it next says why
	}
	files := []string{p.Catalog}
	if p.Audit != nil && p.Audit.Store != nil {
		files = append(files, p.Audit.Store.Files()...)
	}
	return files
}

// serveEvents serves events until the process ends. Documents that are files do not change: they came with the program.
func (s *server) serveEvents(copied *mirror.Mirror) error {
	var handler http.Handler = s
	if copied != nil {
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			copied.Keep(r.Context())
			s.ServeHTTP(w, r)
		})
	}
	adapter, err := lambdahttp.New(lambdahttp.Config{Handler: handler, Logger: s.log})
	if err != nil {
		return err
	}
	s.log.Info("ready", "version", version, "commit", commit)
	adapter.Start()
	return nil
}
